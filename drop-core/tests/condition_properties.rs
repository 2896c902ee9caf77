//! What holds of all conditions: they print and parse to the same tree, mean what a naive reading of the tree means,
//! and no text makes the parser panic.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an operator that the naive evaluator does not know fails the test"
)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop")]

use std::collections::BTreeMap;

use drop_core::condition::tree::{
    At, Call, CallArg, Check, Expr, Field, Function, Literal, Modifier, Node, Op, Operand, Right, Test,
};
use drop_core::condition::{Condition, Scope, Truth, parse};
use falco_event::Alert;
use proptest::prelude::*;
use serde_json::{Value, json};

fn at<T>(value: T) -> At<T> {
    At { value, span: 0..0 }
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,5}"
}

fn literal() -> impl Strategy<Value = Literal> {
    let bare = r#"[^()"' \t\n\r\x0b\x0c\x08=,]{1,6}"#.prop_map(|text| Literal { text, quoted: false });
    let quoted = r#"([a-z"'\\ ,()=\n\t\x01é]|\\n){0,8}"#.prop_map(|text| Literal { text, quoted: true });
    prop_oneof![bare, quoted]
}

fn any_field() -> impl Strategy<Value = Field> {
    let arg = proptest::option::of(prop_oneof!["[a-z0-9/.()=,-]{1,5}", r#"[a-z "'\\\]]{0,5}"#]);
    (word(), word(), arg).prop_map(|(a, b, arg)| Field {
        name: format!("{a}.{b}"),
        arg,
    })
}

fn operand() -> impl Strategy<Value = Operand> {
    let leaf = any_field().prop_map(Operand::Field);
    leaf.prop_recursive(3, 8, 3, |inner| {
        let arg = prop_oneof![
            inner.clone().prop_map(CallArg::Operand),
            "[a-z\"\\\\]{0,4}".prop_map(CallArg::Text),
            "-?[0-9]{1,3}".prop_map(CallArg::Number),
            proptest::collection::vec(inner.prop_map(|operand| at(CallArg::Operand(operand))), 0..3)
                .prop_map(CallArg::List),
        ];
        let args = proptest::collection::vec(arg.prop_map(at), 1..3);
        (
            proptest::sample::select(Function::ALL),
            args,
            proptest::option::of("[a-z]"),
        )
            .prop_map(|(function, args, arg)| Operand::Call(Call { function, args, arg }))
    })
}

/// Every check that the grammar has: each operator with the right sides that it takes.
fn check() -> impl Strategy<Value = Check> {
    use Op::{Ge, Gt, In, Intersects, Le, Lt, Pmatch};
    let ordered = |op: Op| matches!(op, Lt | Le | Gt | Ge);
    let of_list = |op: Op| matches!(op, In | Intersects | Pmatch);
    let pick = move |kind: u8| {
        let ops: Vec<Op> = Op::ALL
            .iter()
            .copied()
            .filter(|op| (u8::from(ordered(*op)) + 2 * u8::from(of_list(*op))) == kind)
            .collect();
        proptest::sample::select(ops)
    };
    let list = || proptest::collection::vec(literal().prop_map(at), 0..4).prop_map(Right::List);
    let field = || {
        prop_oneof![
            operand().prop_filter("a field alone needs val", |o| matches!(o, Operand::Call(_))),
            any_field().prop_map(|field| Operand::Val(field, None))
        ]
    };
    let name = || {
        word().prop_filter("a word of the language", |name| {
            !matches!(name.as_str(), "and" | "or" | "not")
        })
    };
    let compare = |(op, modifier, right): (Op, Option<Modifier>, Right)| Check::Compare {
        op: at(op),
        modifier,
        right: at(right),
    };
    prop_oneof![
        Just(Check::Exists),
        (
            pick(1),
            prop_oneof!["[+-]?[0-9]{1,4}(\\.[0-9]{1,2})?", "0x[0-9a-f]{1,3}"]
        )
            .prop_map(move |(op, text)| compare((
                op,
                None,
                Right::Value(Literal { text, quoted: false })
            ))),
        (prop_oneof![pick(0), pick(1), pick(2)], field()).prop_map(move |(op, field)| compare((
            op,
            None,
            Right::Operand(field)
        ))),
        (pick(0), literal())
            .prop_filter("a modifier", |(_, literal)| !matches!(
                literal.text.as_str(),
                "oneof" | "anyof" | "allof"
            ))
            .prop_map(move |(op, literal)| compare((op, None, Right::Value(literal)))),
        (
            pick(0),
            proptest::sample::select(Modifier::ALL),
            prop_oneof![list(), name().prop_map(Right::Named)]
        )
            .prop_map(move |(op, modifier, right)| compare((op, Some(modifier), right))),
        (pick(2), prop_oneof![list(), name().prop_map(Right::Named)])
            .prop_map(move |(op, right)| compare((op, None, right))),
    ]
}

fn trees(leaf: impl Strategy<Value = Expr> + 'static) -> impl Strategy<Value = Expr> {
    leaf.prop_recursive(5, 40, 4, |inner| {
        let many = || proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            many().prop_map(|parts| at(Node::And(parts))),
            many().prop_map(|parts| at(Node::Or(parts))),
            inner.prop_map(|part| at(Node::Not(Box::new(part)))),
        ]
    })
}

fn any_tree() -> impl Strategy<Value = Expr> {
    let test = (operand(), check()).prop_map(|(left, check)| {
        at(Node::Test(Test {
            left: at(left),
            check,
        }))
    });
    let name = word()
        .prop_filter("a word of the language", |name| name != "not")
        .prop_map(|name| at(Node::Macro(name)));
    trees(prop_oneof![4 => test, 1 => name])
}

/// The fields of the aimed conditions: each may be missing, each is text or a number.
const FIELDS: [&str; 4] = ["proc.name", "fd.name", "proc.pid", "proc.ppid"];

fn aimed_test() -> impl Strategy<Value = Expr> {
    let text = (
        proptest::sample::select(&["proc.name", "fd.name"][..]),
        proptest::sample::select(&["=", "!=", "contains", "startswith", "endswith", "icontains"][..]),
        "[abA]{0,2}",
    )
        .prop_map(|(field, op, value)| format!("{field} {op} \"{value}\""));
    let number = (
        proptest::sample::select(&["proc.pid", "proc.ppid"][..]),
        proptest::sample::select(&["<", "<=", ">", ">=", "=", "!="][..]),
        0..3,
    )
        .prop_map(|(field, op, value)| format!("{field} {op} {value}"));
    let list = (
        proptest::sample::select(&["proc.name", "fd.name"][..]),
        proptest::sample::select(&["in", "intersects"][..]),
        proptest::collection::vec("[ab]{1,2}", 0..3),
    )
        .prop_map(|(field, op, items)| format!("{field} {op} ({})", items.join(", ")));
    let exists = proptest::sample::select(&FIELDS[..]).prop_map(|field| format!("{field} exists"));
    let pod = "[ab]".prop_map(|name| format!("pod.namespace = {name}"));
    prop_oneof![text, number, list, exists, pod].prop_map(|text| parse(&text).unwrap())
}

fn alert(fields: &BTreeMap<&str, Value>) -> Alert {
    let alert =
        json!({"time": "2026-01-02T03:04:05Z", "rule": "r", "priority": "Notice", "output_fields": fields});
    Alert::from_slice(alert.to_string().as_bytes()).unwrap()
}

fn fields() -> impl Strategy<Value = BTreeMap<&'static str, Value>> {
    let text = || {
        prop_oneof![
            "[abA]{0,3}".prop_map(Value::from),
            Just(Value::Null),
            Just(json!("<NA>")),
            Just(json!("absent!"))
        ]
    };
    let number = || {
        prop_oneof![
            (0..3).prop_map(Value::from),
            Just(Value::Null),
            Just(json!("absent!"))
        ]
    };
    (text(), text(), number(), number()).prop_map(|(a, b, c, d)| {
        let all = [
            ("proc.name", a),
            ("fd.name", b),
            ("proc.pid", c),
            ("proc.ppid", d),
        ];
        all.into_iter()
            .filter(|(_, value)| *value != json!("absent!"))
            .collect()
    })
}

/// Kleene's logic and Falco's operators as one would write them down, over the tree itself.
fn naive(expr: &Expr, fields: &BTreeMap<&str, Value>) -> Truth {
    match &expr.value {
        Node::And(parts) => {
            let all: Vec<_> = parts.iter().map(|part| naive(part, fields)).collect();
            if all.contains(&Truth::False) {
                Truth::False
            } else if all.contains(&Truth::Unknown) {
                Truth::Unknown
            } else {
                Truth::True
            }
        }
        Node::Or(parts) => {
            let all: Vec<_> = parts.iter().map(|part| naive(part, fields)).collect();
            if all.contains(&Truth::True) {
                Truth::True
            } else if all.contains(&Truth::Unknown) {
                Truth::Unknown
            } else {
                Truth::False
            }
        }
        Node::Not(inner) => match naive(inner, fields) {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        },
        Node::Test(test) => naive_test(test, fields),
        Node::Macro(name) => panic!("{name}"),
    }
}

fn naive_test(test: &Test, fields: &BTreeMap<&str, Value>) -> Truth {
    let name = test.left.to_string();
    if name.starts_with("pod.") {
        return Truth::Unknown;
    }
    let value = fields
        .get(name.as_str())
        .filter(|value| !value.is_null() && **value != json!("<NA>"));
    let Some(value) = value else { return Truth::False };
    let Check::Compare { op, right, .. } = &test.check else {
        return Truth::True;
    };
    let holds = match (&right.value, value) {
        (Right::Value(literal), Value::Number(number)) => {
            let (left, right) = (number.as_i64().unwrap(), literal.text.parse::<i64>().unwrap());
            match op.value {
                Op::Eq => left == right,
                Op::Ne => left != right,
                Op::Lt => left < right,
                Op::Le => left <= right,
                Op::Gt => left > right,
                Op::Ge => left >= right,
                other => panic!("{other}"),
            }
        }
        (Right::Value(literal), Value::String(left)) => match op.value {
            Op::Eq => *left == literal.text,
            Op::Ne => *left != literal.text,
            Op::Contains => left.contains(&literal.text),
            Op::Icontains => left.to_lowercase().contains(&literal.text.to_lowercase()),
            Op::Startswith => left.starts_with(&literal.text),
            Op::Endswith => left.ends_with(&literal.text),
            other => panic!("{other}"),
        },
        (Right::List(items), Value::String(left)) => items.iter().any(|item| item.value.text == *left),
        other => panic!("{other:?}"),
    };
    Truth::from(holds)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same_tree(tree in any_tree()) {
        let text = tree.to_string();
        let again = parse(&text).map_err(|problem| TestCaseError::fail(format!("{text}: {problem}")))?;
        prop_assert_eq!(&again, &tree, "{}", text);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn evaluation_is_the_naive_one(tree in trees(aimed_test()), fields in fields()) {
        let condition = Condition::compile(&tree.to_string(), &Scope::default()).unwrap();
        let alert = alert(&fields);
        prop_assert_eq!(condition.eval(&alert, None), naive(&tree, &fields), "{} {:?}", tree, fields);
        prop_assert_eq!(condition.explain(&alert, None).verdict == drop_core::condition::Verdict::True, naive(&tree, &fields) == Truth::True);
    }

    #[test]
    fn what_is_always_so_is_so(tree in trees(aimed_test()), fields in fields()) {
        let condition = Condition::compile(&tree.to_string(), &Scope::default()).unwrap();
        if let Some(always) = condition.always() {
            let got = condition.eval(&alert(&fields), None);
            prop_assert!(got == Truth::from(always) || got == Truth::Unknown, "{}", tree);
        }
    }

    #[test]
    fn what_is_implied_holds(a in trees(aimed_test()), b in trees(aimed_test()), fields in fields()) {
        let compile = |tree: &Expr| Condition::compile(&tree.to_string(), &Scope::default()).unwrap();
        let (a, b) = (compile(&a), compile(&b));
        prop_assert!(a.implies(&a));
        let alert = alert(&fields);
        if a.implies(&b) && a.eval(&alert, None) == Truth::True {
            prop_assert_ne!(b.eval(&alert, None), Truth::False, "{} => {}", a, b);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in r#"([a-z.]{1,4}|[()\[\]"'\\,=<>! \n\x00é]| and | or | not | in | exists|val\(|getopt\(|0x1|oneof ){0,30}"#) {
        if let Ok(tree) = parse(&text) {
            prop_assert_eq!(parse(&tree.to_string()), Ok(tree));
        }
        let _ = Condition::compile(&text, &Scope::default());
    }

    #[test]
    fn rules_are_all_under_which_it_can_hold(
        parts in proptest::collection::vec((prop_oneof![Just("="), Just("!=")], "[abc]"), 1..4),
        joints in proptest::collection::vec(any::<(bool, bool)>(), 4),
        rule in "[abc]",
    ) {
        let mut text = String::new();
        for (i, ((op, name), (and, not))) in parts.iter().zip(&joints).enumerate() {
            let joint = match (i, and) { (0, _) => "", (_, true) => " and ", (_, false) => " or " };
            text = format!("{text}{joint}{}alert.rule {op} {name}", if *not { "not " } else { "" });
        }
        // a condition that no rule fits is refused, which is an answer too
        let compiled = Condition::compile(&text, &Scope::default());
        let alert = json!({"time": "2026-01-02T03:04:05Z", "rule": rule, "priority": "Notice"}).to_string();
        let alert = Alert::from_slice(alert.as_bytes()).unwrap();
        match compiled {
            Ok(condition) => {
                let fits = condition.rules().is_none_or(|rules| rules.contains(&rule));
                prop_assert!(fits || condition.eval(&alert, None) == Truth::False, "{} {}", text, rule);
            }
            Err(problems) => prop_assert!(problems[0].message.contains("never hold"), "{:?}", problems),
        }
    }
}
