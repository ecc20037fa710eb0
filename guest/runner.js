// SPDX-License-Identifier: Apache-2.0
// The warm Node inside a sandbox: waits for a run on a pipe, runs it, sends what it left behind.
//
// Runs in:  a gVisor sandbox, as 65534, before and beside user code in one process.
// Trusts:   its control pipe. It protects nothing: user code may do anything to this process.
// See:      PROTOCOL.md.
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');
const util = require('util');
const { createRequire } = require('module');
const { pathToFileURL } = require('url');

const PAYLOAD_MAX = 65536;
const FILES_SCAN_MAX = 4096;
const FLAG_ECHO = 1;
const FLAG_ONE_SHOT = 2;
const WORK = '/tmp/work';
const OUT = '/tmp/out';
const EXIT_PROTOCOL = 70;
const CONTROL_OUT = 3;

// What user code may replace is kept here, so that an honest run ends well after it.
const reallyExit = process.reallyExit.bind(process);
const { readSync, writeSync, openSync, closeSync } = fs;

const controlIn = openSync('/proc/self/fd/0', 'r');
closeSync(0);
openSync('/dev/null', 'r');

const WARM_RUNS = 4;
const chunk = Buffer.alloc(1 << 17);
let pending = Buffer.alloc(0);
let warming = WARM_RUNS;

function takeBytes(n) {
  while (pending.length < n) {
    const got = readSync(controlIn, chunk, 0, chunk.length, null);
    if (got === 0)
      reallyExit(pending.length === 0 ? 0 : EXIT_PROTOCOL);
    pending = Buffer.concat([pending, chunk.subarray(0, got)]);
  }
  const taken = pending.subarray(0, n);
  pending = pending.subarray(n);
  return taken;
}

function receive() {
  const head = takeBytes(5);
  const length = head.readUInt32BE(1);
  if (length > PAYLOAD_MAX)
    reallyExit(EXIT_PROTOCOL);
  return [String.fromCharCode(head[0]), takeBytes(length)];
}

function writeAll(fd, data) {
  for (let at = 0; at < data.length;)
    at += writeSync(fd, data, at);
}

function frame(type, payload) {
  const head = Buffer.alloc(5);
  head[0] = type.charCodeAt(0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

function send(type, payload) {
  const bytes = frame(type, payload);
  if (warming === 0)
    writeAll(CONTROL_OUT, bytes);
}

function receiveRequest() {
  const code = [], stdin = [];
  let file = -1;
  for (;;) {
    const [type, payload] = receive();
    if (type === 'r' && payload.length === 16) {
      return { code: Buffer.concat(code).toString(), stdin: Buffer.concat(stdin),
        step: payload.readUInt32BE(0), flags: payload.readUInt32BE(4),
        filesMax: payload.readUInt32BE(8), bytesMax: payload.readUInt32BE(12) };
    }
    if (type === 'f')
      file = openSync(path.join(WORK, payload.toString()), 'w', 0o644);
    else if (type === 'd' && file >= 0)
      writeAll(file, payload);
    else if (type === 'c')
      code.push(Buffer.from(payload));
    else if (type === 'i')
      stdin.push(Buffer.from(payload));
    else
      reallyExit(EXIT_PROTOCOL);
  }
}

// User code reads `data` from descriptor 0: the lowest free number after closing it.
function openStdin(data, step) {
  let name = '/dev/null';
  if (data.length > 0) {
    name = '/tmp/.stdin-' + step;
    fs.writeFileSync(name, data);
  }
  closeSync(0);
  openSync(name, 'r');
  if (data.length > 0)
    fs.unlinkSync(name);
  let stream;
  Object.defineProperty(process, 'stdin', { configurable: true, enumerable: true,
    get() { return stream ??= new fs.ReadStream(null, { fd: 0, autoClose: false }); } });
}

class Exit extends Error {}

const MODULE_SYNTAX = /Cannot use import statement|Unexpected token 'export'|await is only valid|'import.meta'/;
// A step that declares a const of an earlier one again: in a block of its own it may, for this step.
const REDECLARED = /has already been declared/;

const run = { request: null, code: 0, seen: new Map() };

function execute(request) {
  const oneShot = (request.flags & FLAG_ONE_SHOT) !== 0;
  const name = oneShot ? 'main.js' : `step-${request.step}.js`;
  const options = { filename: name, importModuleDynamically: (s) => importFrom(s) };
  let value;
  try {
    value = new vm.Script(request.code, options).runInThisContext({ displayErrors: true });
  } catch (error) {
    if (!(error instanceof SyntaxError) || (error.stack.split('\n')[0] ?? '').indexOf(name + ':') !== 0)
      throw error;
    if (MODULE_SYNTAX.test(error.message))
      return executeModule(request);
    if (!REDECLARED.test(error.message))
      throw error;
    value = new vm.Script('{' + request.code + '\n}', options).runInThisContext({ displayErrors: true });
  }
  if ((request.flags & FLAG_ECHO) !== 0 && value !== undefined)
    console.log(typeof value === 'string' ? util.inspect(value) : value);
}

function importFrom(specifier) {
  const bare = !/^(\.{0,2}\/|file:|node:|data:)/.test(specifier);
  return import(bare || !specifier.startsWith('.') ? specifier : pathToFileURL(path.resolve(WORK, specifier)).href);
}

// `import` and top-level `await` need a module, and a module needs a file.
function executeModule(request) {
  const name = path.join(WORK, `.step-${request.step}.mjs`);
  fs.writeFileSync(name, request.code);
  import(pathToFileURL(name).href).catch(failed).finally(() => fs.unlinkSync(name));
}

function failed(error) {
  if (error instanceof Exit)
    return;
  run.code = 1;
  let text;
  try {
    text = error instanceof Error && error.stack ? withoutOurFrames(error) : 'Uncaught ' + util.inspect(error);
  } catch {
    text = 'Uncaught exception';
  }
  console.error(text);
}

function withoutOurFrames(error) {
  const text = util.inspect(error);
  const ours = text.split('\n').filter((line) => !/\(?(node:|\/usr\/lib\/sallyport\/)/.test(line) || !/^\s+at /.test(line));
  return ours.join('\n');
}

function newFiles() {
  let names = [];
  try {
    names = fs.readdirSync(OUT).sort().slice(0, FILES_SCAN_MAX);
  } catch {
    return [];
  }
  const found = [];
  for (const name of names) {
    const info = fs.lstatSync(path.join(OUT, name), { bigint: true, throwIfNoEntry: false });
    if (info === undefined || !info.isFile() || name.includes('\ufffd'))
      continue;
    const mark = `${info.ino} ${info.size} ${info.mtimeNs}`;
    if (run.seen.get(name) !== mark)
      found.push([name, Number(info.size)]);
    run.seen.set(name, mark);
  }
  return found;
}

// Send what fits; the number of files that did not.
function sendFiles(request) {
  let count = 0, left = request.bytesMax, leftOut = 0;
  for (const [name, size] of newFiles()) {
    let data;
    try {
      if (count === request.filesMax || size > left)
        throw new RangeError();
      const fd = openSync(path.join(OUT, name), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
      data = Buffer.alloc(size);
      data = data.subarray(0, readSync(fd, data, 0, size, 0));
      closeSync(fd);
    } catch {
      leftOut++;
      continue;
    }
    count++;
    left -= size;
    send('F', Buffer.from(name));
    for (let at = 0; at < data.length; at += PAYLOAD_MAX)
      send('D', data.subarray(at, at + PAYLOAD_MAX));
  }
  return leftOut;
}

function finish() {
  const request = run.request;
  run.request = null;
  const leftOut = sendFiles(request);
  const done = Buffer.alloc(12);
  done.writeUInt32BE(request.step, 0);
  done.writeUInt32BE(run.code, 4);
  done.writeUInt32BE(leftOut, 8);
  send('E', done);
}

function exitCodeOf(value) {
  const number = Number(value);
  return Number.isInteger(number) ? number & 255 : 1;
}

// One step of the loop: called whenever the event loop has nothing left to do.
function nextRun() {
  if (run.request !== null) {
    if (process.exitCode !== undefined && run.code === 0)
      run.code = exitCodeOf(process.exitCode);
    if ((run.request.flags & FLAG_ONE_SHOT) !== 0)
      return;                                   // the process ends now; the exit handler finishes
    finish();
  }
  if (warming > 0)
    warmNext();
  run.request = receiveRequest();
  run.code = 0;
  process.exitCode = undefined;
  openStdin(run.request.stdin, run.request.step);
  setImmediate(() => {
    try {
      execute(run.request);
    } catch (error) {
      failed(error);
    }
  });
}

// Between steps process.exit ends the step, not the interpreter.
function installExit() {
  const exit = process.exit.bind(process);
  process.exit = (code) => {
    if (run.request === null || (run.request.flags & FLAG_ONE_SHOT) !== 0)
      return exit(code ?? process.exitCode);
    run.code = exitCodeOf(code ?? process.exitCode ?? 0);
    throw new Exit('process.exit');
  };
}

function onUncaught(error) {
  failed(error);
  if (run.request !== null && (run.request.flags & FLAG_ONE_SHOT) !== 0 && !(error instanceof Exit))
    process.exit(1);
}

function onExit(code) {
  if (run.request === null)
    return;
  if (run.code === 0)
    run.code = exitCodeOf(code);
  process.exitCode = run.code;
  finish();
  reallyExit(run.code);
}

// Pay now for what the first run would pay for: a few whole runs, with what they would send thrown away.
const WARM_CODE = `const warm = [3, 1, 2].map((x) => x * 2); console.log('warm', 1, { a: [1, 'x'] }, warm);
  console.error('warm'); process.stdout.write('x'); warm`;

function warmUp() {
  fs.mkdirSync(WORK, { recursive: true });
  fs.mkdirSync(OUT, { recursive: true });
  process.chdir(WORK);
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write;
    stream.write = () => write.call(stream, '');     // the whole way down, with nothing to see
  }
}

function warmNext() {
  if (--warming === 0) {
    delete process.stdout.write;
    delete process.stderr.write;
    run.seen.clear();
    send('R', Buffer.from('\x01javascript'));
    return;
  }
  const request = Buffer.alloc(16);
  request.writeUInt32BE(FLAG_ECHO, 4);
  const code = warming === 1 ? 'throw new Error("warm")' : `{${WARM_CODE}}`;
  pending = Buffer.concat([frame('i', Buffer.from('warm')), frame('c', Buffer.from(code)), frame('r', request)]);
}

function main() {
  warmUp();
  globalThis.require = createRequire(path.join(WORK, 'main.js'));
  globalThis.module = { exports: {} };
  globalThis.exports = globalThis.module.exports;
  globalThis.__filename = path.join(WORK, 'main.js');
  globalThis.__dirname = WORK;
  process.argv = [process.argv[0], globalThis.__filename];
  installExit();
  process.on('uncaughtException', onUncaught);
  process.on('exit', onExit);
  process.on('beforeExit', nextRun);
}

main();
