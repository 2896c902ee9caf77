//! What a response does.

use super::each_is_among_the_mistakes;

#[test]
fn an_action_has_one_name_and_its_own_keys() {
    each_is_among_the_mistakes(&[
        (
            "- delete: {}",
            "- delte: {}",
            "10:11 no such action: `delte` (delete)",
        ),
        (
            "{}",
            "{ gracePeriods: 2 }",
            "10:21 no such key in `delete`: `gracePeriods` (gracePeriodSeconds)",
        ),
        ("{}", "{ gracePeriodSeconds: \"2\" }", "10:41 unexpected text"),
        ("{}", "{ gracePeriodSeconds: -1 }", "10:41 unexpected `-1`"),
        ("{}", "{ continueOnError: yes }", "10:38 unexpected text"),
        (
            "- delete: {}",
            "- record: {}\n          delete: {}",
            "10:11 an action has one name",
        ),
        (
            "- delete: {}",
            "- delete: {}\n        - label: { labels: { a: b } }",
            "11:11 this action is never reached: the one before ends the pod",
        ),
        (
            "- delete: {}",
            "- label: { labels: { a: \"b c\" } }",
            "10:33 `b c` cannot be the value of a label",
        ),
        (
            "- delete: {}",
            "- label: { labels: {} }",
            "10:28 `label` changes nothing",
        ),
        (
            "      do:\n        - delete: {}",
            "      do: []",
            "9:11 the response does nothing",
        ),
    ]);
}
