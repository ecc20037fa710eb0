// SPDX-License-Identifier: Apache-2.0
//! Copies the headers of the C API, with their generated conf.h, to $SALLYPORT_WASMTIME_INCLUDE.
use std::{env, fs, io, path::Path};

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=SALLYPORT_WASMTIME_INCLUDE");
    let from = env::var("DEP_WASMTIME_C_API_INCLUDE").expect("wasmtime-c-api-impl tells where its headers are");
    match env::var("SALLYPORT_WASMTIME_INCLUDE") {
        Ok(to) => copy(Path::new(&from), Path::new(&to)),
        Err(_) => Ok(()),
    }
}
