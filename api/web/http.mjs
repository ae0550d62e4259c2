// Calls of this service's API, with the token if one was entered.
import {el} from "./dom.mjs";

const TOKEN = "holdfast.token"; // in sessionStorage: of this tab, gone when it is closed

export function token() {
    return sessionStorage.getItem(TOKEN) ?? "";
}

export function setToken(text) {
    sessionStorage.setItem(TOKEN, text);
}

// Sends one request. {key} is its Idempotency-Key, {headers} are further ones, {signal} aborts it,
// {keepalive} lets it outlive the page. The
// result has `status`, `headers` and `body`: what JSON says, otherwise text. Status 0 is a request
// without an answer: nothing is known about its effect, so send it again with the same key.
export async function api(method, path, body, {key, headers = {}, signal, keepalive} = {}) {
    const request = {method, headers: {...headers}, signal, keepalive};
    if (token() !== "")
        request.headers.Authorization = `Bearer ${token()}`;
    if (key !== undefined)
        request.headers["Idempotency-Key"] = key;
    if (body !== undefined) {
        request.headers["Content-Type"] = "application/json";
        request.body = JSON.stringify(body);
    }
    try {
        const response = await fetch(path, request);
        const text = await response.text();
        const isJson = /json/.test(response.headers.get("Content-Type") ?? "");
        return {status: response.status, headers: response.headers,
                body: isJson && text !== "" ? JSON.parse(text) : text};
    } catch (error) {
        if (error.name === "AbortError")
            throw error;
        return {status: 0, headers: new Headers(), body: {title: "No answer came.", detail: error.message}};
    }
}

// A form that asks for the token, for a page whose call was answered with 401. Calls `entered` when this tab
// has it.
export function tokenForm(entered) {
    const input = el("input", {type: "password", autocomplete: "off", required: true});
    const enter = event => {
        event.preventDefault();
        setToken(input.value.trim());
        entered();
    };
    return el("form", {class: "note", submit: enter},
        el("p", {}, token() === "" ? "This service asks for a token." : "The service refuses this token.",
            " It stays in this tab only, until you close it."),
        el("div", {class: "row"}, el("label", {}, "Token ", input), el("button", {}, "Use this token")));
}
