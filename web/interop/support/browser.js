// Chromium without a window, and the pages in it.

import { once } from "node:events";
import http from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";

/**
 * Starts Chromium and a web server on loopback, whose pages are thereby allowed WebTransport.
 *
 * @returns `page(name)`, which opens a page of its own, and `close()`
 */
export async function startBrowser() {
	const site = await serve(await bundle());
	const browser = await puppeteer.launch({
		executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
		headless: true,
		// WebSocket cannot be told a hash to trust; WebTransport is, and heeds nothing else.
		acceptInsecureCerts: true,
		args: [
			"--no-sandbox",
			"--disable-gpu",
			"--no-first-run",
			"--disable-background-networking",
			"--disable-component-update",
			"--disable-sync",
		],
	});
	return {
		version: await browser.version(),
		page: (name, said) => openPage(browser, site.url, name, said),
		close: async () => {
			await browser.close();
			site.server.close();
		},
	};
}

/** A page in a profile of its own; what it prints is added to `said`, for failures. */
async function openPage(browser, url, name, said) {
	const context = await browser.createBrowserContext();
	const page = await context.newPage();
	page.on("console", (message) => said.push(`${name}: ${message.text()}`));
	page.on("pageerror", (error) => said.push(`${name}: ${error.stack}`));
	await page.goto(url);
	await page.waitForFunction(() => window.interop !== undefined);
	return {
		/** Calls a function of page.js. */
		call: (what, options) =>
			page.evaluate((what, options) => window.interop[what](options), what, options),
		/** Resolves when the page prints something that holds `text`. */
		prints: (text) =>
			new Promise((resolve) =>
				page.on("console", (message) => message.text().includes(text) && resolve()),
			),
		close: () => context.close(),
	};
}

async function bundle() {
	const result = await build({
		entryPoints: [fileURLToPath(new URL("../page/page.js", import.meta.url))],
		bundle: true,
		format: "iife",
		write: false,
		logLevel: "warning",
	});
	return result.outputFiles[0].text;
}

async function serve(script) {
	const server = http.createServer((request, response) => {
		const isScript = request.url === "/page.js";
		response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
		response.end(isScript ? script : '<!doctype html><title>MoQT</title><script src="/page.js"></script>');
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return { server, url: `http://127.0.0.1:${server.address().port}/` };
}
