"""Frames per second of the explorables while somebody uses them, in Chromium without a window: python scripts/frames.py

In every frame the page gets one event: a slider moves, or the mouse, which is down, goes on along a circle.  Beside the
rate of the frames stands the CPU time of one, of the thread that runs the page's script: it tells what an idle machine
can do when this one is busy.
"""

import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "_extra" / "explore"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 5
CASES = {  # what: (page and state, button to press first, what moves)
    "bend: a weight's slider": ("bend.html#law=affine&couplings=3", "#random", "input[type=range]"),
    "bend: the point": ("bend.html#law=affine&couplings=3", "#random", "#density"),
    "layers: the slider": ("layers.html", "", "#time"),
    "train: while it trains": ("train.html", "#run", ""),
    "digits: the temperature": ("digits.html", "", "#temperature"),
    "digits: the pen, with the gradient": ("digits.html", "#gradient", "#picture"),
    "digits: while it completes": ("digits.html", "#complete", ""),
}
FRAMES = """([selector, seconds]) => new Promise((done) => {
  const moved = selector && document.querySelector(selector), began = performance.now();
  const capture = Element.prototype.setPointerCapture;
  Element.prototype.setPointerCapture = () => {};  // the mouse of a script cannot be captured
  const point = (type, angle) => { const box = moved.getBoundingClientRect();
    moved.dispatchEvent(new PointerEvent(type, { pointerId: 1, isPrimary: true, bubbles: true, buttons: 1,
      clientX: box.left + box.width * (0.5 + 0.3 * Math.cos(angle)),
      clientY: box.top + box.height * (0.5 + 0.3 * Math.sin(angle)) })); };
  const move = (frames) => {
    if (moved?.type === "range") {
      moved.value = Number(moved.min) + (moved.max - moved.min) * (0.5 + 0.4 * Math.sin(frames / 20));
      moved.dispatchEvent(new Event("input", { bubbles: true }));
    } else if (moved) point("pointermove", frames / 20);
  };
  if (moved && moved.type !== "range") point("pointerdown", 0);
  let frames = 0;
  const frame = () => {
    frames += 1;
    move(frames);
    const spent = (performance.now() - began) / 1000;
    if (spent < seconds) return requestAnimationFrame(frame);
    if (moved && moved.type !== "range") point("pointerup", 0);
    Element.prototype.setPointerCapture = capture;
    done([frames, spent]);
  };
  requestAnimationFrame(frame);
})"""


def measured(page: Page, address: str, button: str, moved: str) -> tuple[float, float]:
    """Frames per second, and CPU milliseconds of a frame."""
    page.goto(f"{FOLDER.as_uri()}/{address}")
    if button:
        page.click(button)
    protocol = page.context.new_cdp_session(page)
    protocol.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = protocol.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    before = busy()
    frames, seconds = page.evaluate(FRAMES, [moved, SECONDS])
    return frames / seconds, 1000 * (busy() - before) / frames


def main() -> None:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for what, case in CASES.items():
            page = chromium.new_page(viewport={"width": 1366, "height": 900})
            rate, cost = measured(page, *case)
            print(f"{what:<36} {rate:5.1f} frames a second, {cost:6.1f} CPU ms each", flush=True)
            page.close()
        chromium.close()


if __name__ == "__main__":
    main()
