//! Why each link is in the state that it is in: what the harm did to it, and what was cut besides. A cut that ends does
//! not heal what the harm broke.

use super::draw::{Cut, Harm};
use crate::config::Place;
use crate::links::{LinkState, Links};
use std::cell::RefCell;
use std::collections::BTreeMap;

type Pair = (Place, Place);

pub struct Wires {
    links: Links,
    harmed: RefCell<BTreeMap<Pair, LinkState>>,
    cut: RefCell<Vec<Cut>>,
}

impl Wires {
    /// All open.
    pub fn new(links: &Links) -> Self {
        let wires = Self { links: links.clone(), harmed: RefCell::default(), cut: RefCell::default() };
        wires.settle();
        wires
    }

    pub fn harm(&self, harm: Harm) {
        let others = [Place::Standby, Place::Witness, Place::Outside];
        let into = |state| Place::ALL.map(|from| ((from, Place::Primary), state)).to_vec();
        let broken = match harm {
            Harm::Hang => into(LinkState::Hang),
            Harm::Refuse => into(LinkState::Refuse),
            Harm::Isolate => others
                .into_iter()
                .flat_map(|other| [(other, Place::Primary), (Place::Primary, other)])
                .map(|pair| (pair, LinkState::Hang))
                .collect(),
            Harm::Kill | Harm::Cuts => Vec::new(),
        };
        *self.harmed.borrow_mut() = broken.into_iter().collect();
        self.settle();
    }

    pub fn heal(&self) {
        self.harmed.borrow_mut().clear();
        self.settle();
    }

    pub fn cut(&self, cut: Cut) {
        self.cut.borrow_mut().push(cut);
        self.settle();
    }

    pub fn mend(&self, cut: Cut) {
        let mut cuts = self.cut.borrow_mut();
        if let Some(at) = cuts.iter().position(|known| *known == cut) {
            cuts.swap_remove(at);
        }
        drop(cuts);
        self.settle();
    }

    fn settle(&self) {
        for (from, to) in Place::pairs() {
            let state = self.wanted(from, to);
            if self.links.state(from, to) != state {
                self.links.set(from, to, state);
            }
        }
    }

    fn wanted(&self, from: Place, to: Place) -> LinkState {
        let harmed = self.harmed.borrow().get(&(from, to)).copied();
        let cuts = self.cut.borrow();
        let cut = cuts.iter().find(|cut| cut.from == from && cut.to == to).map(|cut| cut.state);
        harmed.or(cut).unwrap_or_default()
    }
}
