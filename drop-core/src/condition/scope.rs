//! The names that a condition may use beside Falco's: lists, macros and fields of its policy.

use std::collections::{BTreeMap, BTreeSet};

use super::expand;
use super::kind::{DECLARABLE, Type};
use super::nearest::nearest;
use super::parse::parse;
use super::problem::{Problem, Shown};
use super::tree::{At, Expr, Literal};

/// The names that a condition may use: those of one policy.
///
/// ```
/// use drop_core::condition::{Condition, Scope};
/// let mut scope = Scope::default();
/// scope.add_list("trusted", ["kube-system", "falco"])?;
/// scope.add_macro("in_trusted", "pod.namespace in (trusted)")?;
/// scope.add_field("acme.score", "uint")?;
/// let condition = Condition::compile("acme.score > 7 and not in_trusted", &scope).map_err(|mut all| all.remove(0))?;
/// assert_eq!(condition.to_string(), "acme.score > 7 and not pod.namespace in (kube-system, falco)");
/// # Ok::<(), drop_core::condition::Problem>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scope {
    lists: BTreeMap<String, Vec<At<Literal>>>,
    macros: BTreeMap<String, Meaning>,
    fields: BTreeMap<String, Type>,
}

/// What a macro stands for.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// An expression without names.
    Is(Box<Expr>),
    /// It has mistakes, which were reported where it stands.
    Broken,
}

impl Scope {
    /// Adds a list; an item that is the name of a list added before stands for that list's items.
    ///
    /// # Errors
    /// The name cannot be one, or a list has it.
    pub fn add_list<'a>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Problem> {
        check_list_name(name)?;
        let items = items.into_iter().map(|text| {
            At::new(
                0..0,
                Literal {
                    text: text.to_owned(),
                    quoted: false,
                },
            )
        });
        let mut problems = Vec::new();
        let items = expand::items(&items.collect::<Vec<_>>(), self, &mut problems);
        match problems.pop() {
            Some(problem) => Err(problem),
            None if self.lists.contains_key(name) => Err(Problem::taken(name)),
            None => {
                self.lists.insert(name.to_owned(), items);
                Ok(())
            }
        }
    }

    /// Adds a macro; it may use the names added before.
    ///
    /// # Errors
    /// The first mistake in it, or in its name.
    pub fn add_macro(&mut self, name: &str, text: &str) -> Result<(), Problem> {
        check_macro_name(name)?;
        if self.macros.contains_key(name) {
            return Err(Problem::taken(name));
        }
        let problems = self.define_macro(name, &parse(text)?);
        problems.into_iter().next().map_or(Ok(()), Err)
    }

    /// Declares a field that Falco's tables do not know. With an argument in its name it is that key, without one all of its keys.
    ///
    /// # Errors
    /// The type is none of `string`, `int`, `uint`, `double`, `bool`, `ip`, `time`, `string list`; or Falco knows the field.
    pub fn add_field(&mut self, name: &str, of: &str) -> Result<(), Problem> {
        let known = DECLARABLE.iter().find(|(word, _)| *word == of);
        let Some((_, of)) = known else {
            let words: Vec<_> = DECLARABLE.iter().map(|(word, _)| *word).collect();
            let problem = Problem::new(0..of.len(), format!("no such type: {}", Shown(of)));
            return Err(problem.expected(words.join(", ")).nearest(nearest(of, words)));
        };
        if falco_event::field_type(name).is_some()
            || ["alert.", "pod.", "ns."].iter().any(|own| name.starts_with(own))
        {
            return Err(Problem::new(
                0..name.len(),
                format!("{} has its type already", Shown(name)),
            ));
        }
        if self.fields.get(name).is_some_and(|known| known != of) {
            return Err(Problem::new(
                0..name.len(),
                format!("{} has another type already", Shown(name)),
            ));
        }
        self.fields.insert(name.to_owned(), *of);
        Ok(())
    }

    pub(crate) fn put_list(&mut self, name: &str, items: Vec<At<Literal>>) {
        self.lists.insert(name.to_owned(), items);
    }

    /// Makes a name known whose macro has mistakes, or is not read yet.
    pub(crate) fn break_macro(&mut self, name: &str) {
        self.macros.insert(name.to_owned(), Meaning::Broken);
    }

    /// Gives a macro its meaning, or says what is wrong with it.
    pub(crate) fn define_macro(&mut self, name: &str, tree: &Expr) -> Vec<Problem> {
        let mut problems = Vec::new();
        let expanded = expand::expand(tree, self, &mut problems);
        let sound = super::compile::compile(&expanded, self, &mut problems).is_some();
        if sound && problems.is_empty() {
            self.macros
                .insert(name.to_owned(), Meaning::Is(Box::new(expanded)));
        }
        problems
    }

    pub(crate) fn list(&self, name: &str) -> Option<&[At<Literal>]> {
        self.lists.get(name).map(Vec::as_slice)
    }

    pub(crate) fn meaning(&self, name: &str) -> Option<&Meaning> {
        self.macros.get(name)
    }

    pub(crate) fn declared(&self, name: &str) -> Option<Type> {
        self.fields.get(name).copied()
    }

    pub(crate) fn declared_names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// The fields that the policy declares, with the words for their types.
    pub(crate) fn declarations(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let word = |of: &Type| {
            DECLARABLE
                .iter()
                .find(|(_, known)| known == of)
                .map(|(word, _)| *word)
        };
        self.fields
            .iter()
            .filter_map(move |(name, of)| Some((name.as_str(), word(of)?)))
    }

    pub(crate) fn list_names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    pub(crate) fn macro_names(&self) -> impl Iterator<Item = &str> {
        self.macros.keys().map(String::as_str)
    }

    /// All names of lists and macros, each once.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.list_names().chain(self.macro_names()).collect()
    }
}

/// A macro's name: letters, digits and `_`, a letter first, and no word of the language.
pub(crate) fn check_macro_name(name: &str) -> Result<(), Problem> {
    let letters = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let word = letters && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !word {
        let problem = Problem::new(
            0..name.len(),
            format!("{} cannot be the name of a macro", Shown(name)),
        );
        return Err(problem.expected("a letter, then letters, digits and `_`"));
    }
    check_word(name)
}

/// A list's name: whatever can stand unquoted as an item.
pub(crate) fn check_list_name(name: &str) -> Result<(), Problem> {
    if !super::quote::is_bare(name) {
        let problem = Problem::new(
            0..name.len(),
            format!("{} cannot be the name of a list", Shown(name)),
        );
        return Err(problem.expected("a word without blanks, quotes, parentheses, commas and `=`"));
    }
    check_word(name)
}

fn check_word(name: &str) -> Result<(), Problem> {
    match name {
        "and" | "or" | "not" => Err(Problem::new(
            0..name.len(),
            format!("`{name}` is a word of the language"),
        )),
        _ => Ok(()),
    }
}
