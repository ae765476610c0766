//! Elements on their way through a kernel: from one slice to another, or within one.
//!
//! Kernels are written once against [`Lanes`] and compile to both forms.

/// Elements to read and the places to write them to.
pub(super) trait Lanes<T: Copy>: Sized {
    fn len(&self) -> usize;
    /// The first `middle` elements and the rest; `middle` is at most the length.
    fn split_at(self, middle: usize) -> (Self, Self);
    fn map(self, f: impl Fn(T) -> T);
    /// Maps each element with the parameters of its own position.
    fn map_with<P: Copy>(self, parameters: [&[P]; 3], f: impl Fn(T, [P; 3]) -> T);
    /// What to read.
    fn source(&self) -> &[T];
    /// Where to write.
    fn target(&mut self) -> &mut [T];
}

/// From one slice to another of the same length.
#[derive(Debug)]
pub(super) struct Across<'a, T> {
    pub(super) from: &'a [T],
    pub(super) to: &'a mut [T],
}

/// In place.
#[derive(Debug)]
pub(super) struct Within<'a, T>(pub(super) &'a mut [T]);

impl<T: Copy> Lanes<T> for Across<'_, T> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.from.len()
    }

    #[inline(always)]
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (from, from_rest) = self.from.split_at(middle);
        let (to, to_rest) = self.to.split_at_mut(middle);
        let rest = Self {
            from: from_rest,
            to: to_rest,
        };
        (Self { from, to }, rest)
    }

    #[inline(always)]
    fn map(self, f: impl Fn(T) -> T) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = f(from);
        }
    }

    #[inline(always)]
    fn map_with<P: Copy>(self, [a, b, c]: [&[P]; 3], f: impl Fn(T, [P; 3]) -> T) {
        let parameters = a.iter().zip(b).zip(c);
        for ((to, &from), ((&a, &b), &c)) in self.to.iter_mut().zip(self.from).zip(parameters) {
            *to = f(from, [a, b, c]);
        }
    }

    #[inline(always)]
    fn source(&self) -> &[T] {
        self.from
    }

    #[inline(always)]
    fn target(&mut self) -> &mut [T] {
        self.to
    }
}

impl<T: Copy> Lanes<T> for Within<'_, T> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (first, rest) = self.0.split_at_mut(middle);
        (Self(first), Self(rest))
    }

    #[inline(always)]
    fn map(self, f: impl Fn(T) -> T) {
        for value in self.0 {
            *value = f(*value);
        }
    }

    #[inline(always)]
    fn map_with<P: Copy>(self, [a, b, c]: [&[P]; 3], f: impl Fn(T, [P; 3]) -> T) {
        let parameters = a.iter().zip(b).zip(c);
        for (value, ((&a, &b), &c)) in self.0.iter_mut().zip(parameters) {
            *value = f(*value, [a, b, c]);
        }
    }

    #[inline(always)]
    fn source(&self) -> &[T] {
        self.0
    }

    #[inline(always)]
    fn target(&mut self) -> &mut [T] {
        self.0
    }
}
