// sdk_server.mjs - the published SDK's own server, which it runs in memory for programs without one, put behind HTTP: a
// server of another make for `dahost worker`.
//
//   node sdk_server.mjs
//
// What decides is the SDK's class, unchanged; the SDK does not offer it to others, so it is imported by its file. Ours
// are the HTTP around it, the clock's tick, and the way of its messages to event streams. It answers no search, and sends
// no preload with a fence.
//
// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const { Server } = await import(
  fileURLToPath(new URL("../node_modules/@resonatehq/sdk/dist/src/network/local.js", import.meta.url))
);
const server = new Server();
const streams = new Set(); // {group, id, response}

// The stream that an address means, or undefined: the message is lost then, as on other servers.
function stream_of(address) {
  const [, cast, group, , id] = address.match(/^poll:\/\/(uni|any)@([^/]+)(\/(.*))?$/) ?? [];
  const of = [...streams].filter((one) => one.group === group);
  return of.find((one) => one.id === id) ?? (cast === "any" ? of[Math.floor(Math.random() * of.length)] : undefined);
}

function deliver() {
  for (const { address, message } of server.outgoing.splice(0)) {
    stream_of(address)?.response.write(`data: ${JSON.stringify(message)}\n\n`);
  }
}

function apply(request) {
  const { response } = server.apply(Date.now(), request);
  deliver();
  return response;
}

setInterval(() => apply({ kind: "debug.tick", head: { corrId: "tick", version: "2026-04-01" }, data: { time: Date.now() } }), 100);

const http = createServer((request, response) => {
  const poll = request.method === "GET" && request.url.match(/^\/poll\/([^/]+)\/([^/]+)$/);
  if (poll) {
    const stream = { group: decodeURIComponent(poll[1]), id: decodeURIComponent(poll[2]), response };
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.write(":\n\n");
    streams.add(stream);
    request.on("close", () => streams.delete(stream));
    return;
  }
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", () => {
    const asked = JSON.parse(body);
    const { kind, head, data } = apply(asked);
    const answer = { kind, head: { corrId: asked.head.corrId, status: head.status, version: asked.head.version }, data };
    response.writeHead(head.status, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  });
});
http.listen(0, "127.0.0.1", () => process.stdout.write(`${JSON.stringify({ port: http.address().port })}\n`));
