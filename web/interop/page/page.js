// What runs in the browser: one MoQT connection of @moq/net, and a broadcast published or watched
// over it. The tests call the functions that this hangs on `window.interop`.

import { Connection, Broadcast, Path, Time } from "@moq/net";

let connection;
let producer;

window.interop = { connect, offer, send, announcements, watch };

/**
 * Connects, and says what was agreed on.
 *
 * @param options.url https URL of the edge
 * @param options.certificate SHA-256 of the edge's certificate, hex
 * @param options.webSocket whether WebSocket may take over when WebTransport does not get through
 */
async function connect({ url, certificate, webSocket }) {
	connection = await Connection.connect(new URL(url), {
		webtransport: { serverCertificateHashes: [{ value: certificate }] },
		websocket: { enabled: webSocket },
	});
	return { version: connection.version, transport: connection.transport };
}

/** Announces `path` and waits until somebody subscribes to its track. */
async function offer({ path, track }) {
	const broadcast = new Broadcast.Producer();
	connection.publish(Path.from(path), broadcast);
	const request = await broadcast.requested();
	if (request?.name !== track) throw new Error(`asked for ${request?.name}, not ${track}`);
	producer = request.accept({ timescale: 1_000_000 });
}

/**
 * Sends groups on the track that was offered: for each an array of payload lengths, and `interval`
 * milliseconds after each. Comes back with what was sent when all is handed over.
 */
async function send({ groups, interval }) {
	const sent = [];
	for (const lengths of groups) {
		const group = producer.appendGroup();
		for (const [object, length] of lengths.entries()) {
			const payload = noise(length);
			group.writeFrame({ payload, timestamp: Time.Timestamp.now() });
			sent.push(await entry(group.sequence, object, payload));
		}
		group.close();
		await new Promise((resolve) => setTimeout(resolve, interval));
	}
	return sent;
}

/** The first `count` broadcasts announced under `prefix`. */
async function announcements({ prefix, count }) {
	const announced = connection.announced(Path.from(prefix));
	const paths = [];
	while (paths.length < count) {
		const event = await announced.next();
		if (!event) throw new Error("the announcements ended");
		if (event.active) paths.push(event.path);
	}
	announced.close();
	return paths;
}

/** Subscribes and reads `count` groups to their ends; comes back with all their objects. */
async function watch({ path, track, count }) {
	const subscriber = connection.consume(Path.from(path)).subscribe(track);
	const reading = [];
	while (reading.length < count) {
		const group = await subscriber.recvGroup();
		if (!group) throw new Error(`the track ended after ${reading.length} groups`);
		reading.push(readGroup(group));
	}
	const received = (await Promise.all(reading)).flat();
	subscriber.close();
	return received.sort((a, b) => a.group - b.group || a.object - b.object);
}

async function readGroup(group) {
	const objects = [];
	for (;;) {
		const frame = await group.readFrameSequence();
		if (!frame) return objects;
		objects.push(await entry(group.sequence, frame.sequence, frame.payload));
	}
}

async function entry(group, object, payload) {
	const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", payload));
	const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
	return { group, object, length: payload.length, sha256 };
}

function noise(length) {
	const bytes = new Uint8Array(length);
	// getRandomValues gives at most 64 KiB at a time.
	for (let at = 0; at < length; at += 65_536) {
		crypto.getRandomValues(bytes.subarray(at, at + 65_536));
	}
	return bytes;
}
