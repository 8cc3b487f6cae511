// An explorable within a page is as high as what it shows; without this script, or from a file, it has a bar to scroll.
for (const frame of document.querySelectorAll("iframe.explorable")) {
  const fit = () => {
    const page = frame.contentDocument?.documentElement;
    if (!page?.querySelector("body > *")) return;
    const margin = 2; // its border
    new frame.contentWindow.ResizeObserver(() => {
      frame.style.height = `${Math.ceil(page.getBoundingClientRect().height) + margin}px`;
    }).observe(page);
  };
  frame.addEventListener("load", fit);
  if (frame.contentDocument?.readyState === "complete") fit();
}
