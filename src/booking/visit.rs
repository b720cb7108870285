//! Visits at the customer's home: the address that an order keeps, and what an offer needs to know of a
//! technician's day to say what can be reached in time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::geo::Point;
use zhundian_domain::home::{Home, HomeService, Place, reachable};
use zhundian_domain::time::{Bits, Interval, Tick};

use crate::catalog::home::point;
use crate::error::{Answer, Code, Problem};
use crate::http::fields::{Degrees, Id, Text};

/// Where a visit at home takes place, for a customer who has no address with us.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenAddress {
    /// Street, house, flat.
    text: Text<1, 200>,
    /// Of the same system as those of stores.
    latitude: Degrees<90>,
    /// Of the same system as those of stores.
    longitude: Degrees<180>,
}

/// Where a visit at home takes place, as it was when the order was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VisitAddress {
    /// Who is there.
    pub contact_name: String,
    /// Their phone.
    pub contact_phone: String,
    /// Street, house, flat.
    pub text: String,
    /// In degrees.
    pub latitude: f64,
    /// In degrees.
    pub longitude: f64,
}

impl VisitAddress {
    /// An address as it was given, for this contact.
    #[must_use]
    pub fn given(address: &GivenAddress, name: &str, phone: &str) -> Self {
        Self {
            contact_name: name.to_owned(),
            contact_phone: phone.to_owned(),
            text: address.text.as_str().to_owned(),
            latitude: address.latitude.get(),
            longitude: address.longitude.get(),
        }
    }

    /// The point.
    ///
    /// # Errors
    /// 500 for a row that does not fit.
    pub fn point(&self) -> Answer<Point> {
        point(self.latitude, self.longitude)
    }
}

/// What else is known of a technician's days when a visit at home is asked for.
#[derive(Debug, Deserialize)]
pub struct Rounds {
    start_point: Option<Point>,
    stores: Vec<(String, f64, f64)>,
    /// Block, store, and the home where it is.
    lines: Vec<(i64, i64, String, Option<Home>)>,
}

impl Rounds {
    /// The place of a visit by this technician, out of a store at `base`.
    ///
    /// # Errors
    /// 500 for a row that does not fit.
    pub fn place(&self, visit: &Visit) -> Answer<Home> {
        let stores = self
            .stores
            .iter()
            .map(|(id, latitude, longitude)| Ok((id.clone(), point(*latitude, *longitude)?)))
            .collect::<Answer<BTreeMap<_, _>>>()?;
        Ok(visit.rule.place(visit.point, self.start_point.unwrap_or(visit.store), &stores))
    }

    /// The ticks in which they can be at `home`.
    #[must_use]
    pub fn reachable(&self, home: &Home, room: &Bits, working: &Bits) -> Bits {
        let lines = self.lines.iter().filter_map(|(start, end, store_id, there)| {
            let block = Interval::new(Tick::at_or_before(*start), Tick::at_or_after(*end))?;
            Some((block, there.as_ref().map_or(Place::Store(store_id), Place::Home)))
        });
        reachable(home, room, working, lines)
    }
}

/// A visit at home, out of a store.
#[derive(Debug)]
pub struct Visit {
    point: Point,
    store: Point,
    rule: HomeService,
}

/// The way to a visit.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Travel {
    /// From the store, as the crow flies.
    pub distance_metres: i64,
    /// What the way costs, in fen; it is a part of the price.
    pub fee_fen: i64,
}

impl Visit {
    /// A visit to a point, out of a store that serves at home as `rule` says.
    #[must_use]
    pub const fn new(point: Point, store: Point, rule: HomeService) -> Self {
        Self { point, store, rule }
    }

    /// The way there.
    ///
    /// # Errors
    /// `address_outside_area`.
    pub fn travel(&self) -> Answer<Travel> {
        let fee_fen = self.rule.fee_fen(self.store, self.point).ok_or(Code::AddressOutsideArea)?;
        Ok(Travel { distance_metres: self.store.metres_to(self.point), fee_fen })
    }
}

/// Where a booking is to take place.
#[derive(Debug)]
pub enum Where {
    /// In the store.
    Store,
    /// At an address that the member has with us.
    Known(Id),
    /// At an address given with the booking.
    Given(GivenAddress),
}

impl Where {
    /// From a body's fields.
    ///
    /// # Errors
    /// `missing_field` at `address_id`, `unknown_field` at what belongs to a visit at home.
    pub fn of(
        place: Option<crate::catalog::Place>,
        address_id: Option<Id>,
        address: Option<GivenAddress>,
    ) -> Answer<Self> {
        let at = |code: Code, field: &str| Err(Problem::from(code).at(field));
        let home = place == Some(crate::catalog::Place::Home);
        match (home, address_id, address) {
            (true, Some(id), None) => Ok(Self::Known(id)),
            (true, None, Some(address)) => Ok(Self::Given(address)),
            (true, None, None) => at(Code::MissingField, "address_id"),
            (false, None, None) => Ok(Self::Store),
            (false, Some(_), _) => at(Code::UnknownField, "address_id"),
            (_, _, Some(_)) => at(Code::UnknownField, "address"),
        }
    }
}
