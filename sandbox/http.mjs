// The HTTP floor under every provider: bodies are read whole and bounded, a route is a path in which
// `{name}` stands for one segment, a handler gets a plain request and returns a plain reply, so that
// providers need no server to be tested.

import { createServer as createHttpServer } from 'node:http';

import { isTransport, playTransport } from './faults.mjs';

/** The largest body taken, in bytes. No call we imitate comes near it. */
export const MAX_BODY_BYTES = 1024 * 1024;

/**
 * How long an idle connection stays open. Node's 5 s is shorter than what the Worker's runtime keeps
 * in its pool, and a connection closed just as it is used again looks like a fault nobody asked for.
 */
const KEEP_ALIVE_MS = 65_000;

/** @returns a reply whose body is `value` as JSON. */
export function json(value, status = 200) {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify(value),
  };
}

/** @returns the JSON object in `bytes`, or null when they are anything else. */
export function readJsonObject(bytes) {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * One server for all services. A service is `{name, routes: [{method, path, handle}]}`; the method `*`
 * leaves the choice to the handler, for providers that answer a wrong method in their own words.
 * A route's `operation(request)` names what
 * is asked for where one path serves many things, so that faults can tell them apart.
 * `handle(request, fault)` returns a reply or a promise of one; `fault` is one of the kinds the
 * provider words itself, or undefined.
 */
export function createServer({ services, faults, sleep }) {
  const routes = indexRoutes(services);
  const server = createHttpServer((incoming, response) => {
    serve({ incoming, response, routes, faults, sleep }).catch((error) => {
      console.error(`sandbox: ${incoming.method} ${incoming.url}: ${error.stack}`);
      if (response.headersSent) response.destroy();
      else send(response, json({ error: 'the sandbox itself failed, see its log' }, 500));
    });
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return server;
}

async function serve({ incoming, response, routes, faults, sleep }) {
  const body = await readBody(incoming);
  if (body === null) {
    return send(response, json({ error: `the body is larger than ${MAX_BODY_BYTES} bytes` }, 413));
  }
  const request = readRequest(incoming, body);
  if (request === null) return send(response, json({ error: 'the request target is not a path' }, 400));
  const { route, params, refusal } = findRoute(routes, request);
  if (refusal) return send(response, refusal);
  request.params = params;

  const fault = faults.take(route.service, route.path, route.operation?.(request));
  const transport = fault && isTransport(fault) ? fault : null;
  if (transport && !transport.after && (await playTransport(transport, response, sleep))) return;
  const reply = await route.handle(request, transport ? undefined : fault);
  if (transport?.after && (await playTransport(transport, response, sleep))) return;
  send(response, reply);
}

function indexRoutes(services) {
  const exact = new Map();
  const patterns = new Map(); // path with {names} -> {pattern, routes}
  for (const service of services) {
    for (const route of service.routes) {
      const one = { ...route, service: service.name };
      if (!route.path.includes('{')) {
        exact.set(route.path, [...(exact.get(route.path) ?? []), one]);
      } else if (patterns.has(route.path)) {
        patterns.get(route.path).routes.push(one);
      } else {
        patterns.set(route.path, { pattern: pathPattern(route.path), routes: [one] });
      }
    }
  }
  return { exact, patterns: [...patterns.values()] };
}

/** The other parts of our paths have no characters a regular expression cares about, except the dot. */
function pathPattern(path) {
  return new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`);
}

function findRoute(routes, { method, path }) {
  const { candidates, params } = findPath(routes, path);
  if (!candidates) return { refusal: json({ error: `nothing is imitated at ${path}` }, 404) };
  const route = candidates.find((one) => one.method === '*' || one.method === method);
  if (route) return { route, params };
  const allow = candidates.map((one) => one.method).join(', ');
  const refusal = json({ error: `${path} takes ${allow}, not ${method}` }, 405);
  return { refusal: { ...refusal, headers: { ...refusal.headers, allow } } };
}

function findPath({ exact, patterns }, path) {
  if (exact.has(path)) return { candidates: exact.get(path), params: {} };
  for (const { pattern, routes } of patterns) {
    const found = pattern.exec(path);
    const params = found && decodeAll(found.groups);
    if (params) return { candidates: routes, params };
  }
  return {};
}

/** @returns null when a segment is not percent-encoded UTF-8. */
function decodeAll(groups) {
  try {
    return Object.fromEntries(Object.entries(groups).map(([name, text]) => [name, decodeURIComponent(text)]));
  } catch {
    return null;
  }
}

function readRequest(incoming, body) {
  if (!incoming.url.startsWith('/')) return null;
  // Split by hand: a signature covers the query as it was sent, which URL would normalise.
  const [, path, rawQuery = ''] = /^([^?#]*)\??([^#]*)/.exec(incoming.url);
  return {
    method: incoming.method,
    target: incoming.url, // as it was sent, for signatures that cover it whole
    path,
    rawQuery,
    query: new URLSearchParams(rawQuery),
    headers: incoming.headers,
    body,
    remoteAddress: incoming.socket.remoteAddress,
  };
}

/**
 * @returns the whole body, or null when it is over the limit. The rest is read too, and thrown away: a
 *   caller cut off in the middle of its upload would see a reset connection instead of our answer.
 */
function readBody(incoming) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    incoming.on('data', (chunk) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else chunks.length = 0;
    });
    incoming.on('end', () => resolve(size <= MAX_BODY_BYTES ? Buffer.concat(chunks) : null));
    incoming.on('error', reject);
  });
}

function send(response, { status, headers, body }) {
  const length = status === 204 ? {} : { 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, { ...headers, ...length });
  response.end(body);
}
