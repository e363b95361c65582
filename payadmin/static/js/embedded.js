// The front end of a page in another site's frame: popovers and charts, nothing else.
import "./popover.js";
import { initParts } from "./parts.js";

initParts(document);
