//! What is ordered with a booking of the store's items.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::pricing::MAX_PRICE_FEN;

use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::extras::queries;
use crate::http::fields::{Id, Int, List};

/// An item, and how many of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderedItem {
    item_id: Id,
    /// At most as many as the item allows.
    quantity: Int<1, 99>,
}

/// What is ordered: each item once.
pub type Ordered = List<OrderedItem, 30>;

/// An item that the store sells.
#[derive(Deserialize)]
pub struct ItemRow {
    id: Id,
    name: String,
    price_fen: i64,
    max_per_order: i64,
    version: i64,
}

/// What is ordered of an item, as it is called and costs.
#[derive(Serialize)]
pub struct Chosen {
    item_id: Id,
    name: String,
    version: i64,
    /// Of one, in fen.
    pub price_fen: i64,
    /// How many.
    pub quantity: i64,
}

/// What is to be read of the items; nothing when there are none.
#[must_use]
pub fn read(ordered: &Ordered, store_id: &Id) -> Option<Statement> {
    let ids: Vec<_> = ordered.0.iter().map(|one| &one.item_id).collect();
    let json = serde_json::to_string(&ids).unwrap_or_default();
    (!ids.is_empty()).then(|| queries::items(store_id, &json))
}

/// What is ordered of the items that were found.
///
/// # Errors
/// `duplicate_item`, `unknown_item`, `too_many_of_item` at the item; `out_of_range` when all of it costs
/// more than the largest price.
pub fn chosen(ordered: &Ordered, found: Vec<ItemRow>) -> Answer<Vec<Chosen>> {
    let mut items: Vec<Chosen> = Vec::new();
    for (at, one) in ordered.0.iter().enumerate() {
        let field = |name: &str| format!("items[{at}].{name}");
        if items.iter().any(|other| other.item_id == one.item_id) {
            return Err(Problem::from(Code::DuplicateItem).at(field("item_id")));
        }
        let Some(item) = found.iter().find(|item| item.id == one.item_id) else {
            return Err(Problem::from(Code::UnknownItem).at(field("item_id")));
        };
        let quantity = one.quantity.get();
        if quantity > item.max_per_order {
            let problem = Problem::from(Code::TooManyOfItem).with(item.max_per_order);
            return Err(problem.at(field("quantity")));
        }
        items.push(Chosen {
            item_id: item.id.clone(),
            name: item.name.clone(),
            version: item.version,
            price_fen: item.price_fen,
            quantity,
        });
    }
    if items.iter().map(|item| item.quantity * item.price_fen).sum::<i64>() > MAX_PRICE_FEN {
        return Err(Problem::from(Code::OutOfRange)
            .with(format!("0..{MAX_PRICE_FEN}"))
            .at("items"));
    }
    Ok(items)
}
