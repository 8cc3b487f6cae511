// What the explorables share: a square of the plane on a canvas, colour maps, and the state in the page's address.
"use strict";

// Colours at equal distances from the lowest value to the highest.
const VIRIDIS = [
  [68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140], [34, 168, 132], [68, 191, 112],
  [122, 209, 81], [189, 223, 38], [253, 231, 37],
];
const BLUE_RED = [
  [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247], [253, 219, 199], [244, 165, 130],
  [214, 96, 77], [178, 24, 43],
];
const BLUE_RED_IN_THE_DARK = [
  [88, 150, 222], [66, 118, 182], [50, 90, 140], [40, 64, 94], [29, 35, 42], [80, 46, 46], [124, 60, 54], [172, 80, 68],
  [222, 104, 84],
];
const blueRed = () => (getComputedStyle(document.documentElement).colorScheme === "dark" ? BLUE_RED_IN_THE_DARK : BLUE_RED);

// 256 colours from the lowest to the highest, each as [red, green, blue, 255].
function palette(map) {
  return Array.from({ length: 256 }, (_, level) => {
    const position = level / 255 * (map.length - 1);
    const k = Math.min(Math.floor(position), map.length - 2), part = position - k;
    return [...map[k].map((value, channel) => value + part * (map[k + 1][channel] - value)), 255];
  });
}

const byId = (id) => document.getElementById(id);
const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The square [-width, width]^2 on a canvas; x_1 to the right, x_2 upwards.
class Plane {
  constructor(canvas, width) {
    this.canvas = canvas;
    this.width = width;
    this.context = canvas.getContext("2d");
  }

  // Before each picture: as many pixels as the screen has.
  clear() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.side = this.canvas.clientWidth || 300;
    this.canvas.width = this.canvas.height = Math.round(this.side * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.side, this.side);
  }

  toPixel([x1, x2]) {
    return [(x1 / this.width + 1) * this.side / 2, (1 - x2 / this.width) * this.side / 2];
  }

  toPoint(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width * 2 - 1) * this.width,
      (1 - (event.clientY - box.top) / box.height * 2) * this.width,
    ];
  }

  // The middles of n x n cells, from the upper left one, row by row.
  middles(n) {
    const points = [];
    for (let row = 0; row < n; row++) {
      for (let column = 0; column < n; column++) {
        points.push([((2 * column + 1) / n - 1) * this.width, (1 - (2 * row + 1) / n) * this.width]);
      }
    }
    return points;
  }

  // Values (n * n) from lowest to highest as colours.
  image(values, map, lowest, highest) {
    const n = Math.round(Math.sqrt(values.length));
    const small = document.createElement("canvas");
    small.width = small.height = n;
    const pixels = small.getContext("2d").createImageData(n, n), colours = palette(map);
    values.forEach((value, k) => {
      const level = Math.round(255 * (value - lowest) / (highest - lowest));
      pixels.data.set(colours[Math.min(Math.max(level, 0), 255)], 4 * k);
    });
    small.getContext("2d").putImageData(pixels, 0, 0);
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(small, 0, 0, this.side, this.side);
  }

  line(points, stroke, width = 1.2, dash = []) {
    this.context.beginPath();
    points.forEach((point, k) => this.context[k ? "lineTo" : "moveTo"](...this.toPixel(point)));
    this.context.strokeStyle = stroke;
    this.context.lineWidth = width;
    this.context.setLineDash(dash);
    this.context.stroke();
    this.context.setLineDash([]);
  }

  dots(points, fill, radius) {
    this.context.fillStyle = fill;
    for (const point of points) {
      const [x, y] = this.toPixel(point);
      this.context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
  }

  // The point that one drags.
  marker(point) {
    const [x, y] = this.toPixel(point);
    this.context.beginPath();
    this.context.arc(x, y, 6, 0, 2 * Math.PI);
    this.context.fillStyle = "white";
    this.context.fill();
    this.context.strokeStyle = "black";
    this.context.lineWidth = 2;
    this.context.stroke();
  }

  // Whole numbers along the edges, with a halo against what is below them.
  axes(ink = "white", halo = "rgba(0, 0, 0, 0.6)", labels = ["x₁", "x₂"]) {
    const context = this.context, reach = Math.floor(this.width - 0.75);
    context.font = "12px system-ui, sans-serif";
    const write = (text, x, y, align, base) => {
      context.textAlign = align;
      context.textBaseline = base;
      context.lineWidth = 3;
      context.strokeStyle = halo;
      context.strokeText(text, x, y);
      context.fillStyle = ink;
      context.fillText(text, x, y);
    };
    const step = reach > 4 || this.side < 250 ? 2 : 1, first = -step * Math.floor(reach / step);
    for (let k = first; k <= reach; k += step) {
      const [x, y] = this.toPixel([k, k]);
      write(String(k), x, this.side - 4, "center", "bottom");
      if (k > first) write(String(k), 4, y, "left", "middle");
    }
    write(labels[0], this.side - 4, this.side - 4, "right", "bottom");
    write(labels[1], 4, 4, "left", "top");
  }

  // Calls move([x1, x2]) while the mouse, a finger or the arrow keys move the point.
  draggable(point, move) {
    let pressed = false;
    const clipped = (p) => p.map((value) => Math.min(Math.max(value, -this.width), this.width));
    this.canvas.tabIndex = 0;
    this.canvas.addEventListener("pointerdown", (event) => {
      pressed = true;
      this.canvas.setPointerCapture(event.pointerId);
      move(clipped(this.toPoint(event)));
    });
    this.canvas.addEventListener("pointermove", (event) => pressed && move(clipped(this.toPoint(event))));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { pressed = false; });
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [x1, x2] = point();
      move(clipped([x1 + step[0], x2 + step[1]]));
    });
  }
}

// The address's part behind #, {name: text}; and back, so that a link opens the page in the same state.
let written = "";
const readState = () => Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
function writeState(state) {
  const address = written = "#" + new URLSearchParams(state).toString();
  try {
    window.history.replaceState(null, "", address);
  } catch {  // from file://, some browsers allow only this
    window.location.replace(address);
  }
}

// Calls read() when a link of a page that is open already is followed.
function onNewState(read) {
  window.addEventListener("hashchange", () => window.location.hash !== written && read());
}

// At most one picture a frame.
function onFrame(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    window.requestAnimationFrame(() => { waiting = false; draw(); });
  };
}

// ?theme=dark or ?theme=light overrides what the system says.
{
  const wanted = new URLSearchParams(window.location.search).get("theme");
  if (window.self !== window.top) document.documentElement.dataset.embedded = "";  // the page around it has a heading
  if (wanted === "dark" || wanted === "light") document.documentElement.dataset.theme = wanted;
}
