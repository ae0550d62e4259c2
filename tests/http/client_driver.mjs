// Runs the JavaScript client for test_clients.py: a line of JSON on stdin is a call, lines on stdout are its attempts,
// its changes and its result. The first line is [url, options]; a call is [method, ...arguments].
import {createInterface} from "node:readline";
import {Holdfast, Problem} from "../../clients/holdfast.mjs";

const print = line => console.log(JSON.stringify(line));
let client;

async function run(method, ...given) {
    if (method === "waitForChanges") {
        for await (const change of client.waitForChanges(...given))
            print({change});
    }
    const known = given.at(-1)?.known;
    const value = await client[method](...given);
    return value === known && known ? {same: true} : {value};
}

for await (const line of createInterface({input: process.stdin})) {
    const [first, ...rest] = JSON.parse(line);
    if (client === undefined) {
        client = new Holdfast(first, {...rest[0], onAttempt: attempt => print({attempt})});
        continue;
    }
    try {
        print(await run(first, ...rest));
    } catch (error) {
        if (!(error instanceof Problem))
            throw error;
        print({problem: {...error, message: error.message}});
    }
}
