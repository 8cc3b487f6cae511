// A picture of 28 x 28 gray levels, 0 to 255, to draw on with a mouse, a finger or the keyboard; and as a short text.
"use strict";

const SIDE = 28;

// Gray levels on a canvas, a cell each. The part where hidden(pixel) is true is tinted.
function paint(canvas, levels, hidden = () => false) {
  const small = document.createElement("canvas");
  small.width = small.height = SIDE;
  const image = small.getContext("2d").createImageData(SIDE, SIDE);
  levels.forEach((level, i) => {
    const shade = hidden(i) ? [0.7 * level + 40, 0.7 * level + 55, 0.7 * level + 80] : [level, level, level];
    image.data.set([...shade, 255], 4 * i);  // a Uint8ClampedArray clips them
  });
  small.getContext("2d").putImageData(image, 0, 0);
  canvas.width = canvas.height = 10 * SIDE;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return context;
}

// What is drawn with a pen that is two to three pixels wide, as the strokes of MNIST are.
class Picture {
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, levels: new Uint8Array(SIDE * SIDE), cursor: [14, 14], erasing: false, down: false });
    let last = null;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width * SIDE - 0.5, (event.clientY - box.top) / box.height * SIDE - 0.5];
    };
    canvas.tabIndex = 0;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.keys = false;
      this.stroke(last = at(event), last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const next = at(event);
      this.stroke(last, next);
      last = next;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.keys = this.down = false; this.changed(); });
  }

  // Arrows move a cursor; the space bar lifts the pen or puts it down.
  key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    this.keys = true;
    if (event.key === " ") this.down = !this.down;
    const next = this.cursor.map((value, d) => Math.min(Math.max(value + move[d], 0), SIDE - 1));
    if (this.down) this.stroke(this.cursor, next);
    this.cursor = next;
    this.changed();
  }

  // Ink of each pixel by its distance from the line between two points: full up to 0.7 pixels, none from 1.7 on.
  stroke([x1, y1], [x2, y2]) {
    const dx = x2 - x1, dy = y2 - y1, squared = dx * dx + dy * dy || 1;
    for (let i = 0; i < this.levels.length; i++) {
      const x = i % SIDE - x1, y = Math.floor(i / SIDE) - y1;
      const along = Math.min(Math.max((x * dx + y * dy) / squared, 0), 1);
      const ink = Math.round(255 * Math.min(Math.max(1.7 - Math.hypot(x - along * dx, y - along * dy), 0), 1));
      this.levels[i] = this.erasing ? Math.min(this.levels[i], 255 - ink) : Math.max(this.levels[i], ink);
    }
    this.changed(true);
  }
}

// Gray levels as text for an address: bytes in base64, where a 0 is followed by how many there are.
function packed(levels) {
  const bytes = [];
  for (let i = 0; i < levels.length;) {
    let run = 1;
    while (levels[i] === 0 && i + run < levels.length && levels[i + run] === 0 && run < 255) run++;
    bytes.push(...(levels[i] === 0 ? [0, run] : [levels[i]]));
    i += run;
  }
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// The levels, or null for a text that is none.
function unpacked(text) {
  const levels = [];
  try {
    const bytes = [...atob(text.replaceAll("-", "+").replaceAll("_", "/"))].map((letter) => letter.charCodeAt(0));
    for (let k = 0; k < bytes.length; k++) levels.push(...(bytes[k] === 0 ? Array(bytes[++k]).fill(0) : [bytes[k]]));
  } catch {
    return null;
  }
  return levels.length === SIDE * SIDE ? Uint8Array.from(levels) : null;
}
