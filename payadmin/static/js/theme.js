// Loaded before the first paint: without a stored choice the page follows the system's theme.
(function (root) {
  if (!root.dataset.theme) root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})(document.documentElement);
