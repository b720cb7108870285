//! Who somebody is and what they may do: tokens, callers, permissions. Signing in is in
//! [`crate::member`] and [`crate::staff`].

pub mod caller;
pub mod permission;
pub mod token;
