// The list of requests beside the shop: what each button has sent, what came back, and the same as a curl line.
import {el, say} from "/web/dom.mjs";
import {token} from "/web/http.mjs";

const SHOWN = 12;
const list = document.getElementById("requests");
let count = 0;

// Adds a request to the list before it is sent. request: {what, method, path, body, key}. Returns its entry.
export function addRequest(request) {
    const id = `request-${++count}`;
    const status = el("span", {class: "status"}, "sent");
    const attempts = el("ol", {class: "attempts"});
    const answer = el("pre", {}, "…");
    const details = el("details", {id, open: true, class: "request"},
        el("summary", {}, el("b", {}, `${request.method} ${request.path}`), " ", status),
        el("dl", {},
            el("dt", {}, "Action"), el("dd", {}, request.what),
            request.key && [el("dt", {}, "Idempotency-Key"), el("dd", {}, el("code", {}, request.key))],
            request.body && [el("dt", {}, "Body"), el("dd", {}, el("pre", {}, pretty(request.body)))],
            el("dt", {}, "Attempts"), el("dd", {}, attempts),
            el("dt", {}, "Answer"), el("dd", {}, answer),
            el("dt", {}, "With curl"), el("dd", {}, curlBox(curlLine(request)))));
    for (const older of list.querySelectorAll("details[open]"))
        older.open = false;
    list.prepend(el("li", {}, details));
    while (list.children.length > SHOWN)
        list.lastElementChild.remove();
    document.getElementById("no-requests").hidden = true;
    return {id, status, attempts, answer};
}

// Shows an attempt, as the client's onAttempt tells it.
export function addAttempt(entry, attempt) {
    const {number, status, answer, replayed, waitMs} = attempt;
    entry.status.textContent = status ? String(status) : "no answer";
    entry.status.className = `status ${status >= 200 && status < 300 ? "good" : "bad"}`;
    const result = status ? String(status) : "no answer";
    entry.attempts.append(el("li", {},
        `${number}: ${result}`,
        replayed && ", Idempotent-Replayed: an earlier attempt has taken effect",
        waitMs !== undefined && `; again after ${(waitMs / 1000).toFixed(1)} s with the same key`));
    while (entry.attempts.children.length > 5)
        entry.attempts.firstElementChild.remove();
    entry.answer.textContent = status ? pretty(answer) : "";
}

export function pretty(json) {
    return JSON.stringify(json, null, 2);
}

function curlBox(line) {
    const text = el("pre", {class: "curl"}, line);
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(line);
            say("The curl line is copied.");
        } catch {
            getSelection().selectAllChildren(text);
            say("The curl line is selected.");
        }
    };
    return [text, el("button", {type: "button", click: copy}, "Copy")];
}

// A token is never shown: the line names a variable of the shell.
function curlLine({method, path, body, key, headers = {}}) {
    const parts = [`curl -X ${method} ${quote(location.origin + path)}`];
    if (token() !== "")
        parts.push('-H "Authorization: Bearer $TOKEN"');
    if (key !== undefined)
        parts.push(`-H ${quote(`Idempotency-Key: ${key}`)}`);
    for (const [name, value] of Object.entries(headers))
        parts.push(`-H ${quote(`${name}: ${value}`)}`);
    if (body !== undefined)
        parts.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(body))}`);
    return parts.join(" \\\n  ");
}

function quote(text) {
    return `'${text.replaceAll("'", "'\\''")}'`;
}
