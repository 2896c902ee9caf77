//! stub
#[derive(Debug, Clone)]
pub struct Condition;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    Unknown,
}
impl Condition {
    pub fn eval(&self, _: &falco_event::Alert, _: Option<&crate::facts::Facts>) -> Truth {
        Truth::True
    }
    pub fn wants(&self) -> crate::facts::Wants {
        Default::default()
    }
}
