// Calls of this service's API, with the token if one was entered.

const TOKEN = "holdfast.token"; // in sessionStorage: of this tab, gone when it is closed

export function token() {
    return sessionStorage.getItem(TOKEN) ?? "";
}

export function setToken(text) {
    sessionStorage.setItem(TOKEN, text);
}

// Sends one request. {key} is its Idempotency-Key, {headers} are further ones, {signal} aborts it. The
// result has `status`, `headers` and `body`: what JSON says, otherwise text. Status 0 is a request
// without an answer: nothing is known about its effect, so send it again with the same key.
export async function api(method, path, body, {key, headers = {}, signal} = {}) {
    const request = {method, headers: {...headers}, signal};
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
