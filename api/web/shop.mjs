// The page /shop: a storefront that calls the API through the client that shops copy, /web/holdfast.mjs.
//
// Operations. Each button starts one operation, and one operation is under way at a time. Its method, arguments and
// key are stored before it is sent and forgotten after its result. After a reload in between the page sends it again
// with the same key, so an order is never placed twice. Each has a handler for its result, by its name, because
// the page that receives the result may not be the one that has sent the request.
//
// Numbers. All that is shown comes from one long poll of /v1/changes, which the page begins with what it has read.
// A cart is a list of this tab until it is held; then it is a reservation, whose time the server tells.
import {el, say} from "/web/dom.mjs";
import {Holdfast, Problem, newKey} from "/web/holdfast.mjs";
import {token, tokenForm} from "/web/http.mjs";
import {addAttempt, addRequest, pretty} from "/web/requests.mjs";
import {drawWheel, sample, slices} from "/web/wheel.mjs";

const HOLD_S = 120;
const CAMPAIGN = "SPRING", LOTTERY = "WHEEL";
const PRODUCTS_MAX = 24; // so that the query of the long poll is short enough
const ORDERS_MAX = 5;

const $ = id => document.getElementById(id);
const money = cents => (cents / 100).toLocaleString(undefined, {minimumFractionDigits: 2, maximumFractionDigits: 2});
const units = n => n === 1 ? "1 unit" : `${n.toLocaleString()} units`;
const clock = ms => new Date(ms).toLocaleTimeString();

// ---- what this tab remembers -----------------------------------------------------------------------

const STORED = "holdfast.shop"; // in sessionStorage: each tab is a user of its own
// cart: quantity by SKU. reservation: the id of the one that holds it, or null. pending: the operation under way.
const tab = {user: null, cart: {}, reservation: null, code: "", orders: [], pending: null,
             ...JSON.parse(sessionStorage.getItem(STORED) ?? "{}")};

function keep() {
    sessionStorage.setItem(STORED, JSON.stringify(tab));
}

// The first tab is ann; a second one, and what the link opens, is a guest.
async function chooseUser() {
    const guest = location.hash === "#guest";
    if (guest)
        history.replaceState(null, "", location.pathname);
    tab.user ??= guest || !await isFirstTab() ? `guest-${Math.random().toString(36).slice(2, 6)}` : "ann";
    keep();
}

function isFirstTab() {
    if (!navigator.locks) // only on HTTPS and on this machine
        return true;
    return new Promise(resolve => navigator.locks.request("holdfast.ann", {ifAvailable: true}, lock => {
        resolve(lock !== null);
        return new Promise(() => {}); // held until the tab is closed
    }));
}

// ---- what the page knows of the server -------------------------------------------------------------

const products = new Map(); // by SKU: what GET has answered, and `card`, its elements
let account = {points: 0, version: 0};
let campaign = null;
let lottery = null;
let held = null;     // {lines: quantity by SKU, ends: on the clock of performance.now()}
let discount = null; // {code, subtotal, cents} as validated
let shop;            // the client

// ---- operations ------------------------------------------------------------------------------------

let busy = false;

// Starts an operation: a method of the client, its ids and its body. `where` is the part of the page that
// shows the outcome, `what` the words for it.
async function act(where, what, method, ...args) {
    if (busy) {
        report(where, "warn", "Wait for the request that is under way.");
        return;
    }
    for (const outcome of document.querySelectorAll("[id^='outcome-']"))
        outcome.hidden = true;
    tab.pending = {where, what, method, args, key: method === "validateCoupon" ? undefined : newKey()};
    keep();
    await send();
}

// Sends the pending operation until there is a result.
async function send() {
    const {where, what, method, args, key} = tab.pending;
    let entry;
    const observe = attempt => {
        entry ??= addRequest({...attempt, what});
        addAttempt(entry, attempt);
        observeConnection(attempt);
        if (attempt.waitMs !== undefined)
            report(where, "warn", `${what}: sending again with the same key…`, entry);
    };
    busy = true;
    $("main").setAttribute("aria-busy", "true");
    try {
        const answer = await shop[method](...args, {onAttempt: observe, key});
        forget();
        report(where, "good", await results[method](answer, ...args), entry);
    } catch (error) {
        if (!(error instanceof Problem))
            throw error;
        if (error.slug !== "unauthorized") // with a token it is sent again
            forget();
        await refused(error, method, args);
        report(where, "bad", explain(error), entry);
    } finally {
        busy = false;
        $("main").removeAttribute("aria-busy");
    }
}

function forget() {
    tab.pending = null;
    keep();
    show();
}

// What to do with each result. Returns a sentence about it.
const results = {
    async reserve(answer) {
        tab.reservation = answer.reservation_id;
        await readReservation();
        return "Held: the units are yours until the time is over.";
    },
    async extend() {
        await readReservation();
        return "Held for longer.";
    },
    release() {
        letGo();
        return "Released: the units are for sale again.";
    },
    issueCoupon(answer) {
        tab.code = answer.code;
        discount = null;
        show();
        return `${tab.user} has the code ${answer.code}.`;
    },
    validateCoupon(answer, {code, subtotal_cents}) {
        discount = {code, subtotal: subtotal_cents, cents: answer.discount_cents ?? 0};
        show();
        return answer.valid ? `The code is worth ${money(answer.discount_cents)} now.`
            : `The code is worth nothing now: ${answer.type}.`;
    },
    earn(answer) {
        return `${tab.user} has ${answer.remaining} points.`;
    },
    placeOrder(answer) {
        tab.orders = [answer.order_id, ...tab.orders.filter(id => id !== answer.order_id)].slice(0, ORDERS_MAX);
        tab.cart = {};
        tab.code = "";
        discount = null;
        $("points").value = 0;
        showOrder(answer);
        letGo();
        return `Order ${answer.order_id} is placed: ${money(answer.total_cents)}`
            + `${answer.points_earned ? `, ${answer.points_earned} points earned` : ""}.`;
    },
    async cancelOrder(answer) {
        await readOrder(answer.order_id);
        return `Cancelled: ${money(answer.refunded_cents)} and ${answer.points_returned} points come back.`;
    },
    async refundOrder(answer) {
        await readOrder(answer.order_id);
        return `Refunded: ${money(answer.refunded_cents)}.`;
    },
    restock(answer) {
        return `${answer.sku} has ${units(answer.remaining)}.`;
    },
    async draw(answer) {
        turning = true;
        await turn?.(answer.prize);
        turning = false;
        return answer.prize ? `${tab.user} wins ${answer.prize}.` : "A blank: nothing won.";
    },
};

// What a refusal teaches about the numbers on the page.
async function refused(problem, method, args) {
    if (["reservation-expired", "reservation-resolved"].includes(problem.slug)) {
        letGo();
    } else if (problem.slug === "order-closed") {
        await readOrder(args[0]);
    } else if (problem.slug === "unauthorized") {
        askForToken();
    }
    for (const {counter} of problem.fields.failed ?? [])
        await readProduct(counter.replace("stock/", ""));
}

// The sentence, what was missing, and the remedy.
function explain({title, detail, fields}) {
    const missing = (fields.failed ?? []).map(({counter, remaining, next_release_at_ms}) => {
        const name = products.get(counter.replace("stock/", ""))?.title ?? counter;
        const release = next_release_at_ms ? `, the next hold ends at ${clock(next_release_at_ms)}` : "";
        return ` ${name}: ${remaining} left${release}.`;
    });
    const words = detail.split("`").map((part, n) => n % 2 ? el("code", {}, part) : part);
    return [el("b", {}, `${title}.`), ...missing, el("br"), el("span", {class: "soft"}, words)];
}

// Shows the outcome of an operation where its button is, with a way to its request.
function report(where, kind, content, entry) {
    const node = $(`outcome-${where}`);
    node.className = `note ${kind}`;
    node.replaceChildren(...[content].flat(), ...entry ? [" ", el("a", {href: `#${entry.id}`}, "Request")] : []);
    node.hidden = false;
    say(node.textContent.replace(/ Request$/, ""));
}

// ---- reading ---------------------------------------------------------------------------------------

// The result of a read, or null if there is no such thing.
async function find(read) {
    try {
        return await read;
    } catch (problem) {
        if (problem.slug !== "not-found")
            throw problem;
        return null;
    }
}

async function readAll() {
    const page = await shop.listStock({limit: PRODUCTS_MAX});
    for (const product of page.items)
        addProduct(product);
    await Promise.all([...products.values()].filter(isSoldOut).map(product => readProduct(product.sku)));
    campaign = await find(shop.getCampaign(CAMPAIGN));
    lottery = await find(shop.getLottery(LOTTERY));
    await readAccount();
    await readReservation();
    for (const id of [...tab.orders].reverse())
        await readOrder(id);
    $("empty").hidden = products.size > 0;
    showLottery();
    show();
}

async function readProduct(sku) {
    const known = products.get(sku);
    if (known)
        Object.assign(known, {next_release_at_ms: undefined}, await shop.getStock(sku, {include: "reserved"}));
    show();
}

async function readAccount() {
    account = await find(shop.getPoints(tab.user)) ?? {points: 0, version: 0};
}

async function readReservation() {
    const found = tab.reservation && await find(shop.getReservation(tab.reservation));
    if (found?.state !== "held") {
        letGo();
        return;
    }
    held = {lines: Object.fromEntries(found.lines.map(line => [line.sku, line.quantity])),
            ends: performance.now() + found.expires_in_ms};
    keep();
    show();
}

function letGo() {
    tab.reservation = null;
    held = null;
    keep();
    show();
}

async function readOrder(id) {
    const order = await find(shop.getOrder(id));
    if (order)
        showOrder(order);
}

// ---- live ------------------------------------------------------------------------------------------

let following = new AbortController();

// Follows all numbers that the page shows, from what it has read on.
async function follow() {
    following.abort();
    following = new AbortController();
    const known = {[`points/${tab.user}`]: account.version};
    for (const product of products.values())
        known[`stock/${product.sku}`] = product.version;
    if (campaign)
        known[`coupon/${CAMPAIGN}`] = campaign.version;
    if (lottery)
        known[`lottery/${LOTTERY}`] = lottery.version;
    const watch = ({path, status, answer, waitMs}) => {
        observeConnection({status, answer, waitMs});
        $("feed-request").textContent = `GET ${decodeURIComponent(path)}`;
        $("feed-answer").textContent = status ? pretty(answer)
            : `no answer; again after ${(waitMs / 1000).toFixed(1)} s`;
    };
    try {
        for await (const change of shop.waitForChanges(known, {signal: following.signal, onAttempt: watch}))
            await apply(change);
    } catch (error) {
        if (error.slug === "unauthorized")
            askForToken();
        else if (error.name !== "AbortError")
            throw error;
    }
}

async function apply({counter, version, remaining, reason}) {
    const [kind, ...name] = counter.split("/");
    if (kind === "stock") {
        const product = products.get(name.join("/"));
        if (version <= product.version) // a GET was faster
            return;
        const wasSoldOut = isSoldOut(product);
        Object.assign(product, {version, remaining});
        if (isSoldOut(product) || reason === "adjust")
            await readProduct(product.sku);
        if (wasSoldOut !== isSoldOut(product))
            say(`${label(product)} is ${wasSoldOut ? "available again" : "sold out"}.`);
    } else if (kind === "points") {
        account = {points: remaining, version};
    } else if (kind === "coupon") {
        Object.assign(campaign, {remaining, version});
    } else if (version > lottery.version) {
        lottery = await shop.getLottery(LOTTERY);
        showLottery();
    }
    show();
}

// Says while the client waits for the next attempt that it does, and why.
function observeConnection({status, answer, waitMs}) {
    $("offline").hidden = waitMs === undefined;
    setText($("why"), status === 0 ? "No answer from the service." : `${answer?.title ?? `HTTP status ${status}`}.`);
}

// ---- showing ---------------------------------------------------------------------------------------

const isSoldOut = product => product.remaining === 0;
const label = product => product.title ?? product.sku;

// Shows all but the lists whose elements have state of their own.
function show() {
    $("user").value = document.activeElement === $("user") ? $("user").value : tab.user;
    $("user").disabled = tab.reservation !== null;
    setText($("balance"), `${account.points.toLocaleString()} points`);
    $("fixed").hidden = tab.reservation === null;
    products.forEach(showProduct);
    showCart();
    showSum();
    tick();
}

function addProduct(product) {
    const known = products.get(product.sku);
    if (known) {
        Object.assign(known, product);
        return;
    }
    const card = {stock: el("p", {class: "stock"}), release: el("p", {class: "soft release"}), title: el("h3"),
                  price: el("p", {class: "price"}), add: button("Put into the cart", () => addToCart(product.sku)),
                  restock: button("Restock one", () => act("products", `Restock ${product.sku}`, "restock", product.sku,
                                                           {quantity: 1}))};
    products.set(product.sku, {...product, card});
    $("products").append(el("li", {class: "card product", "data-sku": product.sku},
        card.title, card.price, card.stock, card.release, el("p", {class: "row"}, card.add, card.restock)));
}

function button(text, click, attributes = {}) {
    return el("button", {type: "button", click, ...attributes}, text);
}

function showProduct(product) {
    const {card, sku, price_cents, remaining, reserved} = product;
    setText(card.title, label(product));
    setText(card.price, `${price_cents === null ? "no price" : money(price_cents)} · ${sku}`);
    const left = `${remaining.toLocaleString()} left`;
    setText(card.stock, remaining === 0 ? "Sold out" : remaining === 1 ? "The last one" : left);
    card.stock.className = `stock ${remaining === 0 ? "bad" : remaining === 1 ? "warn" : "good"}`;
    card.add.hidden = isSoldOut(product) || price_cents === null;
    const inCart = tab.cart[sku] ? ` · ${tab.cart[sku]} in it` : "";
    setText(card.add, `Put into the cart${inCart}`);
    card.add.setAttribute("aria-label", `Put into the cart${inCart}: ${label(product)}`);
    card.restock.hidden = !isSoldOut(product);
    card.restock.setAttribute("aria-label", `Restock one: ${label(product)}`);
    card.release.hidden = !isSoldOut(product);
    if (isSoldOut(product) && reserved === 0)
        setText(card.release, "Nothing is held: only a restock helps.");
}

function addToCart(sku) {
    tab.cart[sku] = (tab.cart[sku] ?? 0) + 1;
    keep();
    show();
    say(`${label(products.get(sku))} is in the cart, ${tab.cart[sku]} of it.`);
}

function setQuantity(sku, quantity) {
    if (quantity > 0)
        tab.cart[sku] = quantity;
    else
        delete tab.cart[sku];
    keep();
    show();
    say(quantity > 0 ? `${quantity} of ${sku}.` : `${sku} is out of the cart.`);
}

const cartLines = () => Object.entries(tab.cart).filter(([sku]) => products.has(sku))
    .map(([sku, quantity]) => ({sku, quantity}));

function showCart() {
    const lines = cartLines();
    $("nothing").hidden = lines.length > 0 || held !== null;
    $("full").hidden = !$("nothing").hidden;
    keepFocus("cart-title", () => $("lines").replaceChildren(...lines.map(({sku, quantity}) => {
        const product = products.get(sku);
        const name = label(product);
        return el("tr", {},
            el("th", {scope: "row"}, name),
            el("td", {}, el("span", {class: "stepper"},
                button("−", () => setQuantity(sku, quantity - 1),
                       {id: `less-${sku}`, "aria-label": `One ${name} less`}),
                el("span", {}, String(quantity)),
                button("+", () => setQuantity(sku, quantity + 1),
                       {id: `more-${sku}`, "aria-label": `One ${name} more`}))),
            el("td", {}, held ? String(Math.min(quantity, held.lines[sku] ?? 0)) : "–"),
            el("td", {class: "number"}, money(product.price_cents * quantity)));
    })));
    $("hold").hidden = held !== null;
    $("extend").hidden = $("release").hidden = held === null;
    $("order").disabled = lines.length === 0;
    if ($("code") !== document.activeElement)
        $("code").value = tab.code;
    $("issue").hidden = !campaign;
    if (campaign) {
        setText($("issue"), `Get a coupon of ${CAMPAIGN}`);
        const worth = campaign.discount_percent ? `${campaign.discount_percent} %` : money(campaign.discount_cents);
        setText($("terms"), `${CAMPAIGN}: ${worth} from ${money(campaign.min_cents)} on; `
            + `${campaign.remaining.toLocaleString()} coupons left, ${campaign.per_user_limit} for each user.`);
    }
}

const subtotal = () => cartLines().reduce((sum, {sku, quantity}) => sum + products.get(sku).price_cents * quantity, 0);

function showSum() {
    const sum = subtotal();
    const code = $("code").value.trim();
    const isChecked = discount && discount.code === code && discount.subtotal === sum;
    const points = Number($("points").value) || 0;
    $("points").max = account.points;
    const rows = [["Subtotal", money(sum)]];
    if (code !== "")
        rows.push(["Discount", isChecked ? `−${money(discount.cents)}` : "told with the order"]);
    if (points > 0)
        rows.push(["Points", `−${money(points)}`]);
    rows.push(["To pay", money(Math.max(0, sum - (isChecked ? discount.cents : 0) - points))]);
    if (pointsEarned(sum))
        rows.push(["You earn", `${pointsEarned(sum)} points`]);
    $("sum").replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

// A point for each whole unit of money.
const pointsEarned = cents => Math.floor(cents / 100);

function showOrder(order) {
    const id = `order-${order.order_id}`;
    const isOpen = ["placed", "partially_refunded"].includes(order.state);
    const node = el("li", {id, class: "card"},
        el("h3", {}, order.order_id, " ", el("span", {class: isOpen ? "good" : "soft"}, order.state.replace("_", " "))),
        el("ul", {}, order.lines.map((line, n) => el("li", {},
            `${line.quantity} × ${label(products.get(line.sku) ?? line)}, ${money(line.price_cents)} each`,
            line.refunded > 0 && `, ${line.refunded} sent back`,
            isOpen && line.refunded < line.quantity && [" ", button("Send one back", () => act("orders",
                `Refund a unit of ${order.order_id}`, "refundOrder", order.order_id,
                {lines: [{line: n, quantity: 1, restock: true}]}), {id: `${id}-refund-${n}`})]))),
        el("p", {}, `${money(order.subtotal_cents)} − ${money(order.discount_cents)} discount = `
            + `${money(order.total_cents)}; ${order.points_spent} points spent, ${order.points_earned} earned; `
            + `${money(order.refunded_cents)} refunded`),
        isOpen && button("Cancel the order", () => act("orders", `Cancel ${order.order_id}`, "cancelOrder",
            order.order_id, {reason: "changed my mind"}), {id: `${id}-cancel`}));
    keepFocus("orders-title", () => {
        const old = $(id);
        if (old)
            old.replaceWith(node);
        else
            $("orders").prepend(node);
        while ($("orders").children.length > ORDERS_MAX)
            $("orders").lastElementChild.remove();
    });
    $("no-orders").hidden = true;
}

let turn;      // turns the wheel to a result
let drawn = ""; // the slices of the wheel that is shown
let turning = false;

function showLottery() {
    $("lottery").hidden = lottery === null;
    if (lottery === null)
        return;
    const chances = new Map(slices(lottery).map(({name, from, to}) => [name, to - from]));
    const chance = name => `${((chances.get(name) ?? 0) * 100).toFixed(1)} %`;
    $("prizes").replaceChildren(
        ...lottery.prizes.map(({prize, quantity, remaining}) => el("li", {},
            sample(lottery, prize), ` ${prize}: ${remaining} of ${quantity} left, ${chance(prize)}`)),
        el("li", {}, sample(lottery, null), ` blank: ${chance(null)}`));
    $("draws").textContent = `${lottery.draws_per_user} draws for each user. The server draws; the wheel shows it.`;
    const wanted = JSON.stringify(slices(lottery));
    if (wanted !== drawn && !turning) {
        drawn = wanted;
        turn = drawWheel($("disc"), lottery);
    }
}

// Once a second: what counts down.
function tick() {
    if (held) {
        const left = Math.ceil((held.ends - performance.now()) / 1000);
        if (left <= 0) {
            letGo();
            report("cart", "warn", "The time is over: the units are for sale again.");
            return;
        }
        setText($("held"), `Held for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`);
        if (left === 30)
            say("The cart is held for 30 seconds more.");
    } else {
        setText($("held"), "Not held: another buyer may take it first.");
    }
    for (const {sku, card, remaining, next_release_at_ms} of products.values()) {
        if (remaining === 0 && next_release_at_ms) {
            const left = Math.max(0, Math.ceil((next_release_at_ms - Date.now()) / 1000));
            const mine = held?.lines[sku] ? "Held by your cart, or by others" : "Held by a buyer";
            setText(card.release, `${mine}. The next hold ends at ${clock(next_release_at_ms)}, in ${left} s.`);
        }
    }
}

function setText(node, text) {
    if (node.textContent !== text)
        node.textContent = text;
}

// Replaces elements without losing the keyboard's place: the element of the same id, else a heading.
function keepFocus(heading, replace) {
    const before = document.activeElement;
    replace();
    if (before !== document.body && !before.isConnected)
        ($(before.id) ?? $(heading)).focus();
}

// ---- buttons ---------------------------------------------------------------------------------------

function listen() {
    $("who").addEventListener("submit", async event => {
        event.preventDefault();
        tab.user = $("user").value;
        tab.code = "";
        keep();
        await readAccount();
        show();
        report("who", "good", `You shop as ${tab.user}.`);
        follow();
    });
    $("gift").addEventListener("click", () => act("who", "Welcome gift", "earn", tab.user,
        {points: 100, order_id: "welcome"}));
    $("hold").addEventListener("click", () => act("cart", "Hold the cart", "reserve",
        {user_id: tab.user, ttl_s: HOLD_S, lines: cartLines()}));
    $("extend").addEventListener("click", () => act("cart", "Hold for longer", "extend", tab.reservation,
        {ttl_s: HOLD_S}));
    $("release").addEventListener("click", () => act("cart", "Release the cart", "release", tab.reservation, {}));
    $("issue").addEventListener("click", () => act("checkout", "Get a coupon", "issueCoupon", CAMPAIGN,
        {user_id: tab.user}));
    $("check").addEventListener("click", () => {
        if ($("code").value.trim() === "")
            report("checkout", "warn", "Enter a code first.");
        else
            act("checkout", "Check the code", "validateCoupon",
                {code: $("code").value.trim(), user_id: tab.user, subtotal_cents: subtotal()});
    });
    $("code").addEventListener("input", () => {
        tab.code = $("code").value.trim();
        keep();
        showSum();
    });
    $("points").addEventListener("input", showSum);
    $("checkout").addEventListener("submit", event => {
        event.preventDefault();
        const points = Number($("points").value), earned = pointsEarned(subtotal());
        act("checkout", "Place the order", "placeOrder", {
            user_id: tab.user,
            ...tab.reservation && {reservation: tab.reservation},
            lines: cartLines(),
            ...tab.code && {code: tab.code},
            ...points > 0 && {points},
            ...earned > 0 && {points_earn: earned},
        });
    });
    $("spin").addEventListener("click", () => act("wheel", "Spin the wheel", "draw", LOTTERY, {user_id: tab.user}));
    $("create").addEventListener("click", createDemo);
    // A link to a request opens it.
    $("main").addEventListener("click", event => {
        const target = event.target.closest?.("a[href^='#request-']");
        const entry = target && $(target.hash.slice(1));
        if (entry) {
            event.preventDefault();
            entry.open = true;
            entry.querySelector("summary").focus();
            entry.scrollIntoView({block: "nearest"});
        }
    });
}

function askForToken() {
    $("access").replaceChildren(tokenForm(() => {
        $("access").replaceChildren();
        begin();
    }));
    $("access").querySelector("input").focus();
}

// What `./dev run` puts. If-None-Match: nothing that exists is overwritten.
const DEMO = [
    ["/v1/stock/SKU-1", {title: "Teapot", price_cents: 1999, quantity: 100}],
    ["/v1/stock/SKU-2", {title: "Mug", price_cents: 1250, quantity: 10}],
    ["/v1/stock/SKU-3", {title: "Spoon", price_cents: 333, quantity: 1}],
    ["/v1/stock/SKU-4", {title: "Tea towel", price_cents: 799, quantity: 25}],
    ["/v1/coupons/SPRING", {total: 50, per_user_limit: 1, discount_percent: 10, min_cents: 500}],
    ["/v1/lotteries/WHEEL", {draws_per_user: 3, blank_weight: 80, prizes: [
        {prize: "gold", quantity: 1, weight: 1}, {prize: "silver", quantity: 10, weight: 19}]}],
];

async function createDemo() {
    const headers = {"If-None-Match": "*"};
    for (const [path, body] of DEMO) {
        let entry;
        const onAttempt = attempt => {
            entry ??= addRequest({...attempt, headers, what: "Create demo products"});
            addAttempt(entry, attempt);
        };
        try {
            await shop.request("PUT", path, body, {headers, onAttempt});
        } catch (problem) {
            if (problem.slug !== "version-mismatch") { // it exists
                report("products", "bad", explain(problem), entry);
                return;
            }
        }
    }
    report("products", "good", "The demo products are there.");
    begin();
}

// ---- beginning -------------------------------------------------------------------------------------

// Reads everything, sends an operation again that a reload has interrupted, and follows the changes.
async function begin() {
    shop = new Holdfast(location.origin, {token: token(), attempts: Infinity, totalMs: Infinity,
                                          onAttempt: observeConnection});
    try {
        await readAll();
    } catch (error) {
        if (error.slug !== "unauthorized")
            throw error;
        askForToken();
        return;
    }
    follow();
    if (tab.pending && !busy) {
        report(tab.pending.where, "warn", `${tab.pending.what}: sending again with the same key…`);
        await send();
    }
}

await chooseUser();
listen();
setInterval(tick, 1000);
await begin();
