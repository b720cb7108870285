//! What keeps the saga right, each thing by name, so that each can be taken away alone; and the invariant
//! that breaks without it.

macro_rules! guards {
    ($($(#[doc = $doc:literal])+ $name:ident => $broken:literal;)+) => {
        /// The guards of the saga. All of them stand in the saga as it is; the mutation test takes one away
        /// at a time, and the model must then find what it was there for.
        #[derive(Clone, Copy, Debug)]
        #[allow(clippy::struct_excessive_bools)]
        pub struct Guards {
            $($(#[doc = $doc])+ pub $name: bool,)+
        }

        impl Guards {
            /// All of them.
            pub const ALL: Self = Self { $($name: true,)+ };

            /// All but one, for each: its name, the others, and what breaks without it.
            pub fn each_taken_away() -> Vec<(&'static str, Self, &'static str)> {
                vec![$((stringify!($name), Self { $name: false, ..Self::ALL }, $broken),)+]
            }
        }
    };
}

guards! {
    /// The calendar refuses a hold of time that is taken.
    hold_checks_capacity => "I1";
    /// The calendar gives an expired hold's time to a confirm only if it is still free.
    confirm_rechecks_capacity => "I1";
    /// A released claim is kept, so that a late confirm does not take it again.
    release_leaves_tombstone => "I3";
    /// A claim that was lost is kept as released too: the answer to a confirm does not change.
    lost_is_for_good => "I3";
    /// A claim is released after the order's cancellation is committed, never before.
    release_after_commit => "I3";
    /// What is to be told to the calendar and the provider is written in the batch of the effect.
    outbox_in_batch => "I3";
    /// An outbox row goes in the batch that writes what its delivery brought.
    row_goes_with_effect => "I3";
    /// A confirm that finds nobody on the claim any more has it released.
    unwanted_confirm_is_released => "I3";
    /// That a claim was lost concerns the order only while its line still stands on that claim.
    lost_names_the_claim => "I3";
    /// An order whose claim was lost is refunded.
    lost_is_refunded => "I3";
    /// The provider takes no money after the deadline, and the deadline lies before the hold's end.
    deadline_before_hold_end => "I5";
    /// An unpaid order is closed only after each payment of it is closed at its provider.
    expiry_asks_the_provider => "I5";
    /// That the provider does not know a payment counts as closed only after the deadline.
    unknown_is_closed_after_deadline => "I5";
    /// Another channel's payment is begun only when the one before is closed.
    one_pending_payment => "I6";
    /// When a payment pays the order, the others that are pending are closed at their provider.
    paid_closes_the_others => "I3";
    /// Cancelling an order closes its pending payments at their provider.
    cancel_closes_payments => "I5";
    /// A decision stands only if what it was made from still holds when it is written.
    conditional_writes => "I3";
    /// A payment is recorded once, whoever tells of it.
    recorded_once => "I6";
    /// A payment of an order that another one has paid is refunded.
    second_payment_is_refunded => "I3";
    /// A payment of a cancelled order is refunded.
    payment_of_cancelled_is_refunded => "I3";
    /// A payment that was not wanted goes back by itself: what is cancelled with the order is the rest.
    surplus_is_apart => "I3";
    /// A late payment confirms a claim with a new id, not the one that is being released.
    late_payment_has_new_claim => "I3";
    /// A payment that comes when the appointment has begun is refunded.
    late_payment_is_in_time => "nobody";
    /// A refund reserves its money in the ledger.
    refund_reserves => "I4";
    /// A refund keeps its number through every retry.
    refund_keeps_number => "I5";
    /// Older news of a refund does not undo newer.
    refund_never_goes_back => "I5";
    /// A refund that the provider has given up gives back what it reserved.
    closed_refund_gives_back => "I3";
}
