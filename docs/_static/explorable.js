// Explorables within a page: as high as what they show, and dark when the page is. From a file they have a bar to scroll.
for (const frame of document.querySelectorAll("iframe.explorable")) {
  const fit = () => {
    const page = frame.contentDocument?.documentElement;
    if (!page?.querySelector("body > *")) return;
    const border = 2;
    new frame.contentWindow.ResizeObserver(() => {
      frame.style.height = `${Math.ceil(page.getBoundingClientRect().height) + border}px`;
    }).observe(page);
  };
  const dress = () => {
    const loaded = frame.contentDocument?.URL.startsWith("http");
    const address = new URL(loaded ? frame.contentDocument.URL : frame.src); // its state is behind the #
    const theme = document.body.dataset.theme ?? "auto"; // what the reader chose
    if (theme === (address.searchParams.get("theme") ?? "auto")) return;
    if (theme === "auto") address.searchParams.delete("theme");
    else address.searchParams.set("theme", theme);
    if (loaded) frame.contentWindow.location.replace(address);
    else frame.src = address;
  };
  frame.addEventListener("load", fit);
  if (frame.contentDocument?.readyState === "complete") fit();
  dress();
  new MutationObserver(dress).observe(document.body, { attributeFilter: ["data-theme"] });
}
