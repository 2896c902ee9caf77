//! stub
mod model;
pub use model::*;
#[derive(Debug, Default)]
pub struct Policies {
    v: Vec<Policy>,
    p: Protect,
}
impl Policies {
    pub fn candidates<'a>(&'a self, _: &str) -> impl Iterator<Item = (&'a Policy, &'a Response)> {
        self.v
            .iter()
            .flat_map(|p| p.responses.iter().map(move |r| (p, r)))
    }
    pub fn protect(&self) -> &Protect {
        &self.p
    }
    pub fn hash(&self) -> &str {
        ""
    }
}
