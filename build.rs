//! `openapi.json` as the Worker carries it: without the white space that makes it readable.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=openapi.json");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(
        Path::new(&folder).join("openapi.json"),
        compact(&fs::read_to_string("openapi.json")?),
    )
}

/// JSON text without white space outside its strings.
fn compact(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let kept = text.chars().filter(|&char| {
        if in_string {
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
            return true;
        }
        in_string = char == '"';
        !char.is_ascii_whitespace()
    });
    kept.collect()
}
