//! Data of payment cards that are called by plain names: what they are, the type says that they stand in.

use super::printed::bare;
use super::{Class, class_of, words};
use crate::Case;
use crate::fact::Source;

/// Whether a value is a part of a type for payment cards: `request.getNumber()` of a `PaymentRequest` with a `cvc`.
pub(super) fn part_of_card(source: &Source, case: &Case<'_>) -> Option<Class> {
    let owner = source.owner.as_deref()?;
    let last = source.path.trim_end_matches("()").rsplit('.').next()?;
    let own = words(last);
    let own = own.strip_prefix(&["get".to_owned()][..]).unwrap_or(&own).join("_");
    let is_number = matches!(own.as_str(), "number" | "num" | "no");
    let is_expiry = matches!(
        own.as_str(),
        "expiry" | "exp" | "expiration" | "expiry_date" | "expiration_date" | "exp_date"
    );
    let is_holder = matches!(own.as_str(), "name" | "holder" | "full_name");
    if !is_number && !is_expiry && !is_holder {
        return None;
    }
    let is_card = |name: &str| class_of(name, case) == Some(Class::Card);
    let of_cards = case.types(bare(owner)).any(|def| {
        let cards =
            || def.fields.iter().map(|(name, _)| name.as_str()).filter(|name| is_card(name));
        // Where a field is called after the card's number, `number` is another.
        let has_number = cards().any(|name| {
            words(name).iter().any(|word| matches!(word.as_str(), "number" | "num" | "no" | "pan"))
        });
        cards().next().is_some() && !(has_number && (is_number || is_holder))
    });
    let class = if is_holder { Class::Personal } else { Class::Card };
    of_cards.then_some(class)
}
