//! What is used of D1's JavaScript interface, typed as narrowly as it is used: a call here is one
//! crossing of the boundary, where a general adapter makes one for every field of every row.

use worker::js_sys::{Array, JsString, Promise, Reflect};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsCast as _, JsValue};

#[wasm_bindgen]
extern "C" {
    /// The binding.
    pub type Binding;
    #[wasm_bindgen(method, catch)]
    pub fn prepare(this: &Binding, sql: &str) -> Result<Prepared, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn batch(this: &Binding, statements: &Array) -> Result<Promise, JsValue>;

    /// A prepared statement.
    pub type Prepared;
    #[wasm_bindgen(method, catch, variadic)]
    pub fn bind(this: &Prepared, params: &Array) -> Result<Prepared, JsValue>;

    /// What a statement of a batch answered.
    pub type Outcome;
    #[wasm_bindgen(method, getter)]
    pub fn results(this: &Outcome) -> Array;
    #[wasm_bindgen(method, getter)]
    pub fn meta(this: &Outcome) -> Meta;

    /// What a statement cost.
    pub type Meta;
    #[wasm_bindgen(method, getter)]
    pub fn rows_read(this: &Meta) -> f64;
    #[wasm_bindgen(method, getter)]
    pub fn rows_written(this: &Meta) -> f64;
}

thread_local! {
    static COLUMN: JsValue = JsValue::from_str("json");
}

/// The text in a row's one column, `json`; `None` for NULL, and for a row without it.
pub fn text(row: &JsValue) -> Option<String> {
    let value = COLUMN.with(|column| Reflect::get(row, column)).ok()?;
    value.dyn_ref::<JsString>().map(String::from)
}
