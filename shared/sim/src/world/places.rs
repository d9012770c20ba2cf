//! Sets of places, and of roads between them: looked at by every call, so they are bits.

use super::Place;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u8);

impl Places {
    pub(super) fn insert(&mut self, place: Place) {
        self.0 |= 1 << place as u8;
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.0 &= !(1 << place as u8);
    }

    pub(super) fn contains(self, place: Place) -> bool {
        self.0 & (1 << place as u8) != 0
    }

    pub(super) fn clear(&mut self) {
        self.0 = 0;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Roads(u16);

impl Roads {
    fn bit(from: Place, to: Place) -> u16 {
        1 << (from as u8 * 4 + to as u8)
    }

    pub(super) fn insert(&mut self, from: Place, to: Place) {
        self.0 |= Self::bit(from, to);
    }

    pub(super) fn contains(self, from: Place, to: Place) -> bool {
        self.0 & Self::bit(from, to) != 0
    }

    pub(super) fn clear(&mut self) {
        self.0 = 0;
    }
}
