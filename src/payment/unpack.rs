//! Deflate and GBK by the runtime's own `DecompressionStream` and `TextDecoder`: no code of ours for
//! either, and no bytes of it in the script.

use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Promise, Uint8Array};
use worker::send::SendFuture;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};

#[wasm_bindgen]
extern "C" {
    type Response;
    #[wasm_bindgen(constructor, catch)]
    fn new(body: &JsValue) -> Result<Response, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn body(this: &Response) -> Readable;
    #[wasm_bindgen(method, js_name = arrayBuffer, catch)]
    fn array_buffer(this: &Response) -> Result<Promise, JsValue>;

    type Readable;
    #[wasm_bindgen(method, js_name = pipeThrough, catch)]
    fn pipe_through(this: &Readable, through: &DecompressionStream) -> Result<JsValue, JsValue>;

    type DecompressionStream;
    #[wasm_bindgen(constructor, catch)]
    fn new(format: &str) -> Result<DecompressionStream, JsValue>;

    type TextDecoder;
    #[wasm_bindgen(constructor, catch)]
    fn new(label: &str) -> Result<TextDecoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn decode(this: &TextDecoder, bytes: &Uint8Array) -> Result<String, JsValue>;
}

/// Unpacks raw deflate.
///
/// # Errors
/// What the runtime says of bytes that are none.
pub fn inflate(packed: &[u8]) -> impl Future<Output = Result<Vec<u8>, String>> + Send {
    SendFuture::new(async move {
        let said = |error: JsValue| format!("{error:?}");
        let packed = Response::new(&Uint8Array::from(packed)).map_err(said)?;
        let through = DecompressionStream::new("deflate-raw").map_err(said)?;
        let stream = packed.body().pipe_through(&through).map_err(said)?;
        let unpacked = Response::new(&stream).and_then(|one| one.array_buffer()).map_err(said)?;
        let buffer = JsFuture::from(unpacked).await.map_err(said)?;
        Ok(Uint8Array::new(&buffer).to_vec())
    })
}

/// Reads GBK.
///
/// # Errors
/// When the runtime does not know the encoding.
pub fn gbk(bytes: &[u8]) -> Result<String, String> {
    TextDecoder::new("gbk")
        .and_then(|decoder| decoder.decode(&Uint8Array::from(bytes)))
        .map_err(|error| format!("{error:?}"))
}
