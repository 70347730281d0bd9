//! The plan as it is told: to people by [`super::plan_view`], to programs as JSON.

use serde::{Deserialize, Serialize};

use crate::engine::event::ChangeTold;

/// Version of the plan's JSON form. Fields may be added under the same number.
pub const SCHEMA: u32 = 1;

/// What an install would do, before anything is touched. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanTold {
    /// Version of this format.
    pub schema: u32,
    /// Name of the product.
    pub product: String,
    /// Title of the product.
    pub title: String,
    /// Version of the blueprint.
    pub version: String,
    /// Digest of the plan. Keyed with the host's own key, once something was installed there; until then it says nothing.
    pub digest: String,
    /// The inputs and where their values came from.
    pub inputs: Vec<InputTold>,
    /// The steps in the order of the blueprint.
    pub steps: Vec<StepTold>,
    /// Ids of resources of an earlier run that the blueprint no longer names: `--prune` removes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<String>,
    /// What the blueprint has to say of this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How many resources there are of each answer.
    pub counts: Counts,
}

/// An input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InputTold {
    /// Name.
    pub name: String,
    /// Value; of a secret `(secret)`, or `(will be generated)`.
    pub value: String,
    /// Where the value came from: `--set`, `--set-file FILE`, `environment variable NAME`, `FILE:LINE` of the answers, `an earlier run`,
    /// `found in FILE`, `the prompt`, `default` or `generated`.
    pub source: String,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepTold {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// Its resources, in order.
    pub resources: Vec<ResourceTold>,
}

/// A resource and what its probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ResourceTold {
    /// `step/type:key`.
    pub id: String,
    /// Stage in which it is its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What the probe found.
    pub answer: Answer,
    /// Why it is pending or hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// `created`, `modified` (the original is kept) or `found`, once a run had to do with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ownership: Option<String>,
    /// What would be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeTold>,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// As wanted.
    InPlace,
    /// Different.
    Changes,
    /// Not knowable before another resource is there.
    Pending,
    /// Needs root to be seen.
    Hidden,
}

/// How many resources there are of each answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counts {
    /// As wanted.
    pub in_place: usize,
    /// To be changed.
    pub changes: usize,
    /// Not knowable yet.
    pub pending: usize,
    /// Not visible without root.
    pub hidden: usize,
}

impl Counts {
    /// Counts `resources`.
    pub fn of<'a>(resources: impl IntoIterator<Item = &'a ResourceTold>) -> Self {
        let mut counts = Self::default();
        for resource in resources {
            match resource.answer {
                Answer::InPlace => counts.in_place += 1,
                Answer::Changes => counts.changes += 1,
                Answer::Pending => counts.pending += 1,
                Answer::Hidden => counts.hidden += 1,
            }
        }
        counts
    }

    /// `14 in place, 5 to change, 2 pending, 1 hidden`; the last two only where there are any.
    pub fn in_words(&self) -> String {
        let mut words = format!("{} in place, {} to change", self.in_place, self.changes);
        for (count, word) in [(self.pending, "pending"), (self.hidden, "hidden")] {
            if count > 0 {
                words.push_str(&format!(", {count} {word}"));
            }
        }
        words
    }
}
