// The page works without this script: what it adds is sorting and controls.
(() => {
  "use strict";
  document.documentElement.classList.add("scripted");
})();
