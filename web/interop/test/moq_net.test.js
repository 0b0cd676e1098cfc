// Pages with @moq/net publish and watch through an edge, over WebTransport and over WebSocket.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startBrowser } from "../support/browser.js";
import { startEdge, tcpOnly } from "../support/edge.js";

/** Six times what it takes, for machines that are busy with much else. */
const LIMIT = { timeout: 180_000 };

let edge;
let browser;
let firewall;

before(async () => {
	edge = await startEdge();
	firewall = await tcpOnly(edge.port);
	browser = await startBrowser();
}, LIMIT);

after(async () => {
	await browser?.close();
	firewall?.close();
	await edge?.stop();
});

test("a page gets every object over WebTransport", LIMIT, async () => {
	// Longer than edges have patience with anything, such as the streams that Chromium leaves silent.
	await everyObjectArrives("webtransport", 12, open(), open());
});

test("a page gets every object over WebSocket where UDP is closed", LIMIT, async () => {
	const before = firewall.swallowed();
	await everyObjectArrives("websocket", 4, open(), closed());
	assert.ok(firewall.swallowed() > before, "the page tried UDP first");
});

test("what a page publishes over WebSocket arrives over WebTransport", LIMIT, async () => {
	await everyObjectArrives("from-websocket", 4, closed(), open());
});

/** Where UDP passes: only WebTransport may be used. */
function open() {
	return { url: edge.url, webSocket: false, transport: "webtransport" };
}

/** Where UDP does not: the page is told the same, and has to find out. */
function closed() {
	return { url: firewall.url, webSocket: true, transport: "websocket" };
}

/** Publishes under `name` on one side, and finds and watches it on the other. */
async function everyObjectArrives(name, seconds, publisherSide, watcherSide) {
	const said = [];
	const path = `${name}/page`;
	const groups = shape(seconds);
	const publisher = await browser.page("publisher", said);
	const watcher = await browser.page("watcher", said);
	try {
		await connect(publisher, publisherSide);
		await connect(watcher, watcherSide);
		const offered = publisher.call("offer", { path, track: "noise" });
		const announced = watcher.call("announcements", { prefix: name, count: 1 });
		assert.deepEqual(await Promise.race([announced, offered]), ["page"]);
		// @moq/net 0.3.4 expects a length before LARGEST_OBJECT, against the drafts (mended after it
		// was released): it can only subscribe to tracks that have no object yet.
		const subscribed = watcher.prints("subscribe ok");
		const watching = watcher.call("watch", { path, track: "noise", count: groups.length });
		await Promise.race([Promise.all([offered, subscribed]), watching]);
		const sending = publisher.call("send", { groups, interval: 20 });
		const [sent, received] = await Promise.all([sending, watching]);
		assert.equal(sent.length, groups.flat().length);
		assert.deepEqual(received, sent);
	} catch (error) {
		error.message += `\n${[...said, ...edge.log].join("\n")}`;
		throw error;
	} finally {
		await Promise.all([publisher.close(), watcher.close()]);
	}
}

async function connect(page, { url, webSocket, transport }) {
	const agreed = await page.call("connect", { url, webSocket, certificate: edge.certificate });
	assert.deepEqual(agreed, { version: "moq-transport-20", transport });
}

/**
 * The lengths of all payloads, as a call might have them: seconds of sound, each a stream of 50
 * objects, with a larger one in front and an empty one at the end, and as many objects in a stream each.
 */
function shape(seconds) {
	const sound = Array(50).fill([160]);
	const second = [[40_000, ...Array(48).fill(4_000), 0], ...sound];
	return Array(seconds).fill(second).flat();
}
