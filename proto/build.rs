//! Compiles the .proto files with protox and tonic's generator: no `protoc`, no download.
//! A file that does not compile ends the build with its place.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["proto/agent.proto", "proto/admin.proto", "proto/peer.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let set = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(set)?;
    Ok(())
}
