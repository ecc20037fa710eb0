// SPDX-License-Identifier: Apache-2.0

/** The four functions of WASI preview 1 that a tool in AssemblyScript needs. */

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: u32, vectors: usize, count: u32, read: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, vectors: usize, count: u32, written: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: u32): void;

const CHUNK: i32 = 4096;
const vector = memory.data(8);
const done = memory.data(4);

/** All of standard input. */
export function readInput(): Uint8Array {
  let all = new Uint8Array(0);
  const chunk = new Uint8Array(CHUNK);
  while (true) {
    store<u32>(vector, <u32>chunk.dataStart);
    store<u32>(vector, CHUNK, 4);
    if (fd_read(0, vector, 1, done) != 0) exit(1);
    const n = <i32>load<u32>(done);
    if (n == 0) return all;
    const longer = new Uint8Array(all.length + n);
    longer.set(all);
    memory.copy(longer.dataStart + all.length, chunk.dataStart, n);
    all = longer;
  }
}

export function write(fd: u32, text: string): void {
  const bytes = Uint8Array.wrap(String.UTF8.encode(text));
  let at = 0;
  while (at < bytes.length) {
    store<u32>(vector, <u32>(bytes.dataStart + at));
    store<u32>(vector, bytes.length - at, 4);
    if (fd_write(fd, vector, 1, done) != 0) exit(1);
    at += <i32>load<u32>(done);
  }
}

export function exit(code: u32): void {
  proc_exit(code);
}

/** What the compiler calls when an assertion fails: said on standard error, exit status 1. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  write(2, "dates: " + (message ? message : "aborted") + "\n");
  exit(1);
}
