//! Who sees whom, and what may be granted by whom.

use crate::auth::caller::{Grant, Scope, Staff};
use crate::auth::permission::{Permission, Role};
use crate::error::{Answer, Code, Problem};

/// Whether somebody with a permission in `scope` has to do with somebody with these grants: they share
/// a store.
pub fn shares_a_store(scope: &Scope, grants: &[Grant]) -> bool {
    match scope {
        Scope::All => true,
        Scope::Stores(stores) => grants
            .iter()
            .any(|grant| grant.store_id.as_ref().is_none_or(|store| stores.contains(store))),
    }
}

/// Whether somebody who may write staff in `scope` may give, and take away, all of these grants.
pub fn covers(scope: &Scope, grants: &[Grant]) -> bool {
    match scope {
        Scope::All => true,
        // Somebody without grants is in no store, so a store's owner has no say.
        Scope::Stores(stores) => {
            !grants.is_empty()
                && grants
                    .iter()
                    .all(|grant| grant.store_id.as_ref().is_some_and(|id| stores.contains(id)))
        }
    }
}

/// Requires that a member of staff may give, and take away, all of these grants.
///
/// # Errors
/// 403 `foreign_store`.
pub fn require(staff: &Staff, grants: &[Grant]) -> Answer<()> {
    if covers(&staff.scope(Permission::StaffWrite), grants) {
        Ok(())
    } else {
        Err(Problem::from(Code::ForeignStore).at("grants"))
    }
}

/// Whether they make somebody an owner of all stores.
pub fn own_everything(grants: &[Grant]) -> bool {
    grants.iter().any(|grant| grant.role == Role::Owner && grant.store_id.is_none())
}

/// Whether two lists grant the same, in whatever order.
pub fn same(one: &[Grant], other: &[Grant]) -> bool {
    one.len() == other.len() && one.iter().all(|grant| other.contains(grant))
}

/// Refuses a list that is empty or grants something twice.
///
/// # Errors
/// `out_of_range`, `duplicate_item`.
pub fn check(grants: &[Grant]) -> Answer<()> {
    if grants.is_empty() {
        return Err(Problem::from(Code::OutOfRange)
            .with(format_args!("1..{}", super::admin::MAX_GRANTS))
            .at("grants"));
    }
    let twice =
        grants.iter().enumerate().find(|(at, grant)| grants.iter().take(*at).any(|g| g == *grant));
    match twice {
        Some((at, _)) => Err(Problem::from(Code::DuplicateItem).at(format!("grants[{at}]"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::Id;

    fn id(digit: char) -> Id {
        digit.to_string().repeat(32).parse().expect("an id")
    }

    fn grant(role: Role, store: Option<char>) -> Grant {
        Grant { role, store_id: store.map(id) }
    }

    #[test]
    fn a_stores_owner_grants_in_that_store_only() {
        let scope = Scope::Stores(vec![id('a'), id('b')]);
        let cases: [(&[Grant], bool); 5] = [
            (&[grant(Role::Owner, Some('a'))], true),
            (&[grant(Role::Cashier, Some('a')), grant(Role::Manager, Some('b'))], true),
            (&[grant(Role::Cashier, Some('a')), grant(Role::Cashier, Some('c'))], false),
            (&[grant(Role::Technician, None)], false),
            (&[], false),
        ];
        for (grants, may) in cases {
            assert_eq!(covers(&scope, grants), may, "{grants:?}");
            assert!(covers(&Scope::All, grants));
        }
        assert!(!covers(&Scope::Stores(Vec::new()), &[grant(Role::Cashier, Some('a'))]));
    }

    #[test]
    fn staff_are_seen_in_their_stores() {
        let scope = Scope::Stores(vec![id('a')]);
        assert!(shares_a_store(
            &scope,
            &[grant(Role::Cashier, Some('b')), grant(Role::Cashier, Some('a'))]
        ));
        assert!(shares_a_store(&scope, &[grant(Role::Owner, None)]));
        assert!(!shares_a_store(&scope, &[grant(Role::Cashier, Some('b'))]));
        assert!(!shares_a_store(&scope, &[]));
        assert!(shares_a_store(&Scope::All, &[]));
    }

    #[test]
    fn an_owner_of_one_store_does_not_own_everything() {
        assert!(own_everything(&[grant(Role::Owner, None)]));
        assert!(!own_everything(&[grant(Role::Owner, Some('a')), grant(Role::Manager, None)]));
    }

    #[test]
    fn the_order_of_grants_means_nothing() {
        let (one, other) = (grant(Role::Cashier, Some('a')), grant(Role::Manager, None));
        assert!(same(&[one.clone(), other.clone()], &[other.clone(), one.clone()]));
        assert!(!same(std::slice::from_ref(&one), &[one.clone(), other]));
    }

    #[test]
    fn a_list_of_grants_is_neither_empty_nor_doubled() {
        let code = |grants: &[Grant]| check(grants).err().map(|problem| problem.code());
        assert_eq!(code(&[]), Some(Code::OutOfRange));
        let one = grant(Role::Cashier, Some('a'));
        assert_eq!(code(&[one.clone(), one.clone()]), Some(Code::DuplicateItem));
        assert_eq!(code(&[one, grant(Role::Cashier, Some('b'))]), None);
    }
}
