// SPDX-License-Identifier: Apache-2.0
// A provider by Node's own HTTP/2: CERT KEY in the environment; prints its port. By the prompt's first word: "early" answers
// without reading the body, "last" closes the session after this answer,
// "stream" answers in events.
import http2 from "node:http2";
import fs from "node:fs";

const server = http2.createSecureServer({
	cert: fs.readFileSync(process.env.CERT), key: fs.readFileSync(process.env.KEY), minVersion: "TLSv1.3",
	settings: { maxConcurrentStreams: 20 },
});
const chunk = (delta, finish) => `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m",
	choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const whole = (text) => JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "m",
	choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
	usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });

function answer(stream, word) {
	const key = stream.headersSent ? "" : stream.sentKey;
	if (word === "stream") {
		stream.respond({ ":status": 200, "content-type": "text/event-stream", "x-echo": key });
		for (const part of ["one", " two", " three"]) stream.write(chunk({ content: part }, null));
		stream.end(chunk({}, "stop") + "data: [DONE]\n\n");
		return;
	}
	stream.respond({ ":status": 200, "content-type": "application/json", "x-echo": key }, { waitForTrailers: true });
	stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": "t" }));
	stream.end(whole(word));
}

server.on("stream", (stream, headers) => {
	stream.on("error", () => {});
	stream.sentKey = headers["authorization"] ?? "";
	if (headers["content-length"] > 100000) {
		answer(stream, "early");
		return;
	}
	const parts = [];
	stream.on("data", (d) => parts.push(d));
	stream.on("end", () => {
		const word = JSON.parse(Buffer.concat(parts)).messages[0].content.split(" ")[0];
		if (word === "last") stream.session.close();
		answer(stream, word);
	});
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
