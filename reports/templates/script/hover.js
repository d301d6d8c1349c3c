// What a picture's element is called stands beside the pointer at once; browsers alone show it late, and phones never.
(() => {
  "use strict";
  const words = document.body.appendChild(document.createElement("p"));
  words.className = "hover-words";
  words.hidden = true;
  words.setAttribute("aria-hidden", "true"); // it repeats what the picture's label and its table say
  let shown = null; // the element's own title is taken out meanwhile, or the browser would show it, too

  function titled(element) {
    for (let each = element; each instanceof SVGElement; each = each.parentElement) {
      const title = each.querySelector(":scope > title");
      if (title) return { element: each, title };
    }
    return null;
  }

  function hide() {
    words.hidden = true;
    shown?.element.append(shown.title);
    shown = null;
  }

  function place(event) {
    const { width, height } = words.getBoundingClientRect();
    const below = event.clientY + 18 + height < innerHeight;
    words.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - width - 8))}px`;
    words.style.top = `${below ? event.clientY + 18 : event.clientY - height - 12}px`;
  }

  document.addEventListener("pointerover", (event) => {
    if (shown?.element.contains(event.target)) return;
    hide();
    shown = titled(event.target);
    if (!shown) return;
    words.textContent = shown.title.textContent;
    shown.title.remove();
    words.hidden = false;
    place(event);
  });
  document.addEventListener("pointermove", (event) => shown && place(event));
  document.addEventListener("scroll", hide, { passive: true });
  document.documentElement.addEventListener("pointerleave", hide);
})();
