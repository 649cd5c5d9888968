// The one button of a page that is there only so that previews of a link, which run no scripts, do not use it up.
"use strict";
history.replaceState(null, "", location.pathname); // the token stays out of the history
document.querySelector("form[data-press]")?.requestSubmit();
