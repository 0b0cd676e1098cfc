// A stand-alone edge as a child process, and a door to it that only TCP gets through.

import { spawn } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import readline from "node:readline";

/**
 * Starts the edge of `MERIDIAN_EDGE` on a port that was free a moment ago.
 *
 * @returns its URL, the SHA-256 of its certificate, and how to end it
 */
export async function startEdge() {
	const program = process.env.MERIDIAN_EDGE;
	if (!program) throw new Error("set MERIDIAN_EDGE to the meridian-edge program");
	const port = await freePort();
	const child = spawn(program, ["--dev", "--listen", `127.0.0.1:${port}`], {
		stdio: ["ignore", "pipe", "pipe"],
	});
	const log = collect(child);
	try {
		const certificate = await log.certificate;
		return { port, url: `https://127.0.0.1:${port}/`, certificate, log: log.lines, stop: () => stop(child) };
	} catch (error) {
		await stop(child);
		throw error;
	}
}

/** Keeps the last lines that the edge prints, for failures, and finds the certificate's hash. */
function collect(child) {
	const lines = [];
	const certificate = new Promise((resolve, reject) => {
		const read = (line) => {
			lines.push(line);
			if (lines.length > MAX_LINES) lines.shift();
			const found = /certificate SHA-256 ([0-9a-f]{64})/.exec(line);
			if (found) resolve(found[1]);
		};
		readline.createInterface({ input: child.stdout }).on("line", read);
		readline.createInterface({ input: child.stderr }).on("line", read);
		child.once("error", reject);
		child.once("exit", (code) => reject(new Error(`the edge ended (${code}):\n${lines.join("\n")}`)));
	});
	return { lines, certificate };
}

async function stop(child) {
	if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
	const exited = once(child, "exit");
	child.kill("SIGKILL");
	await exited;
}

/**
 * A port of its own whose TCP connections reach `port`, and whose UDP packets go nowhere without
 * an answer, as behind a firewall.
 *
 * @returns its URL, how many UDP packets it swallowed so far, and how to close it
 */
export async function tcpOnly(port) {
	const { server, udp } = await bindBoth();
	const sockets = new Set();
	let swallowed = 0;
	udp.on("message", () => swallowed++);
	server.on("connection", (inside) => {
		const outside = net.connect(port, "127.0.0.1");
		for (const [from, to] of [[inside, outside], [outside, inside]]) {
			sockets.add(from);
			from.setNoDelay(true);
			from.pipe(to);
			from.on("error", () => to.destroy());
			from.on("close", () => sockets.delete(from));
		}
	});
	return {
		url: `https://127.0.0.1:${server.address().port}/`,
		swallowed: () => swallowed,
		close: () => {
			for (const socket of sockets) socket.destroy();
			server.close();
			udp.close();
		},
	};
}

/** A TCP listener and a UDP socket on one port number, which the edge's QUIC would use as well. */
async function bindBoth() {
	const server = net.createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const udp = dgram.createSocket("udp4").bind(server.address().port, "127.0.0.1");
	await once(udp, "listening");
	return { server, udp };
}

async function freePort() {
	const { server, udp } = await bindBoth();
	const { port } = server.address();
	await Promise.all([new Promise((closed) => server.close(closed)), new Promise((closed) => udp.close(closed))]);
	return port;
}

/** Enough to see how an edge came to its end. */
const MAX_LINES = 200;
