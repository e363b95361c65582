// The front end of every page: each module listens for its own data attributes; the rarer ones load when a page has them.
import "./shell.js";
import "./popover.js";
import "./dialog.js";
import "./forms.js";
import "./navigation.js";
import "./filters.js";
import "./rowmenu.js";
import "./palette.js";
import "./bell.js";
import { initList } from "./selection.js";
import { initParts } from "./parts.js";
import { toastMessages } from "./toasts.js";

initList(document);
// Whoever drives the page from outside may begin once every part answers.
initParts(document).then(() => document.documentElement.toggleAttribute("data-ready", true));
toastMessages(document);
