// SPDX-License-Identifier: Apache-2.0
// An identity provider for tests: oidc-provider behind a TLS server of its own.
//
// argv: certificate, key, node_modules, folder of the provider's state (the file `ready` tells the port).
// One command a line on standard input, one answer a line on standard output, both JSON:
//   {"do": "roll", "keep": bool}     a new signing key; with `keep` the old one stays published
//   {"do": "sign", "claims", "header"}   a token by the current key, whatever it says
//   {"do": "mode", "mode": "good" | "fail" | "hang" | "redirect" | "huge" | "evil"}   how documents are answered
//   {"do": "raw", "payload"}         the same with any payload; "stranger": by a key that is in no document
//   {"do": "hide"}                   a new signing key that is not published yet; "modulus", "pem": of the public key
//   {"do": "counts"}                 requests for the two documents since the start

import { createRequire } from "node:module";
import { readFileSync, writeFileSync, renameSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

console.log = console.info = console.warn = console.error; // standard output is for answers

const [cert, key, modules, folder] = process.argv.slice(2);
const from = createRequire(`${modules}/`);
const load = async (name) => import(pathToFileURL(from.resolve(name)));
const { default: Provider } = await load("oidc-provider");
const jose = await load("jose");

const AUDIENCE = "sallyport";
const PEOPLE = {
  ann: { tenant: "acme", groups: ["/staff", "/admins"] },
  bob: { tenant: "acme", groups: ["/staff"] },
  eve: { tenant: "other", groups: ["/staff"] },
  zed: { tenant: "acme", groups: Array.from({ length: 65 }, (_, i) => `/g${i}`) },
};
const state = { mode: "good", keys: [], counts: { discovery: 0, keys: 0 }, number: 0 };
let provider, issuer;

async function newKey(alg) {
  const pair = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(pair.privateKey)), alg, use: "sig", kid: `key-${++state.number}` };
}

function make() {
  const alg = state.keys[0].alg;
  provider = new Provider(issuer, {
    clients: [...Object.keys(PEOPLE).map((name) => ({
      client_id: name, client_secret: `secret-of-${name}-0123456789`, grant_types: ["client_credentials"],
      redirect_uris: [], response_types: [], id_token_signed_response_alg: alg,
    })), { // `sallyport login`
      client_id: "terminal", token_endpoint_auth_method: "none", redirect_uris: [], response_types: [],
      grant_types: ["urn:ietf:params:oauth:grant-type:device_code"], id_token_signed_response_alg: alg,
    }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true }, // pages where anybody signs in as whoever they say
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:sallyport",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "use", audience: AUDIENCE, accessTokenFormat: "jwt", accessTokenTTL: 300, jwt: { sign: { alg } },
        }),
      },
    },
    extraTokenClaims: (ctx, token) => PEOPLE[token.accountId ?? token.clientId],
    ttl: { DeviceCode: () => state.deviceTtl ?? 600 },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA", "PS256"], requestObjectSigningAlgValues: ["RS256"] },
    jwks: { keys: state.keys },
    cookies: { keys: ["not a secret"] },
  });
}

const isDocument = { "/.well-known/openid-configuration": "discovery", "/jwks": "keys" };

function answerBadly(res) {
  if (state.mode === "hang") return;
  if (state.mode === "redirect") res.writeHead(302, { location: "https://evil.example/" }).end();
  else if (state.mode === "huge") res.writeHead(200).end(Buffer.alloc(1 << 20, 0x20));
  else if (state.mode === "evil") res.writeHead(200).end(JSON.stringify({ issuer, jwks_uri: "https://evil.example/jwks" }));
  else res.writeHead(503).end();
}

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (req, res) => {
  const document = isDocument[req.url];
  if (document) state.counts[document]++;
  if (document && state.mode !== "good") answerBadly(res);
  else provider.callback()(req, res);
});

const commands = {
  async roll({ keep, alg = "ES256" }) {
    const old = state.keys;
    state.keys = [await newKey(alg), ...(keep ? old : [])];
    make();
    return { kid: state.keys[0].kid };
  },
  async sign({ claims, header = {} }) {
    const { kid, alg } = state.keys[0];
    const signer = await jose.importJWK(state.keys[0], alg);
    return { token: await new jose.SignJWT(claims).setProtectedHeader({ alg, kid, typ: "JWT", ...header }).sign(signer) };
  },
  async raw({ payload }) {
    const { kid, alg } = state.keys[0];
    const signer = await jose.importJWK(state.keys[0], alg);
    return { token: await new jose.CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, kid }).sign(signer) };
  },
  async stranger({ claims, how }) {
    const pair = await jose.generateKeyPair("ES256", { extractable: true });
    const jwk = { ...(await jose.exportJWK(pair.publicKey)), kid: state.keys[0].kid };
    const header = { alg: "ES256", kid: jwk.kid, ...(how === "jwk" ? { jwk } : { jku: `${issuer}/evil`, x5u: `${issuer}/evil` }) };
    return { token: await new jose.SignJWT(claims).setProtectedHeader(header).sign(pair.privateKey) };
  },
  async modulus() {
    return { n: state.keys[0].n };
  },
  async pem() {
    const { d, p, q, dp, dq, qi, ...rest } = state.keys[0];
    return { pem: await jose.exportSPKI(await jose.importJWK(rest, rest.alg, { extractable: true })) };
  },
  async hide() { // a new key that is published nowhere yet
    state.keys = [await newKey("ES256"), ...state.keys];
    return {};
  },
  async mode({ mode }) {
    state.mode = mode;
    return {};
  },
  async deviceTtl({ seconds }) {
    state.deviceTtl = seconds;
    return {};
  },
  async counts() {
    return state.counts;
  },
};

await new Promise((done) => server.listen(0, "127.0.0.1", done));
issuer = `https://localhost:${server.address().port}`;
state.keys = [await newKey("RS256")];
make();
writeFileSync(`${folder}/ready.new`, String(server.address().port));
renameSync(`${folder}/ready.new`, `${folder}/ready`);
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  process.stdout.write(JSON.stringify(await commands[command.do](command)) + "\n");
}
process.exit(0);
