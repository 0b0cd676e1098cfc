//! vi64: the count of leading one bits is the length less one (draft-22 §1.4.1).
