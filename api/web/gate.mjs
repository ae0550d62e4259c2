// What stands between a page and the laboratory: it may be closed, want a token, or be busy with another run.
import {el} from "./dom.mjs";
import {CallError, Run, isLive, laboratory} from "./run.mjs";
import {tokenForm} from "./http.mjs";

// Asks for the laboratory until it answers. Meanwhile `place` says what is missing.
export async function enter(place) {
    for (;;) {
        try {
            const lab = await laboratory();
            place.replaceChildren();
            return lab;
        } catch (error) {
            await new Promise(again => place.replaceChildren(why(error, again)));
        }
    }
}

function why(error, again) {
    const retry = el("button", {type: "button", click: again}, "Try again");
    if (error.status === 401 || error.status === 403)
        return tokenForm(again);
    if (error.status === 404)
        return el("div", {class: "note"},
            el("p", {}, el("strong", {}, "The laboratory is closed."),
                " This service sells for real, and nothing is broken on purpose here."),
            el("p", {}, "To open one, start the service on your own machine with ", el("code", {}, "./dev run"),
                " and open the address that it prints. It uses a database of its own, which is thrown away."), retry);
    return el("div", {class: "note bad"}, el("p", {}, `The laboratory does not answer: ${error.message}`), retry);
}

// Says why a call to the laboratory was refused. If another run is going on, offers to cancel it and then
// calls `again`.
export async function refused(place, error, again) {
    if (!(error instanceof CallError))
        throw error;
    const busy = error.slug === "lab-busy";
    const box = el("div", {class: "note bad", role: "alert"},
        el("p", {}, busy ? "Another run goes on, and the laboratory does one run at a time." : error.message));
    if (busy) {
        const {run} = await laboratory();
        box.append(el("button", {type: "button", click: async () => {
                if (run !== null && isLive(run))
                    await new Run(run).cancel();
                place.replaceChildren();
                again();
            }}, "Cancel the other run and start this one"));
    }
    place.replaceChildren(box);
}
