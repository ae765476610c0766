//! Elements on their way through a kernel: from one slice to another, or within one.
//!
//! Kernels are written once against [`Lanes`] and compile to both forms.

use bytemuck::Pod;

/// Elements to read and the places to write them to.
pub trait Lanes<T: Pod>: Sized {
    /// The same memory as other elements.
    type As<U: Pod>: Lanes<U>;

    fn len(&self) -> usize;
    /// The first `middle` elements and the rest; `middle` is at most the length.
    fn split_at(self, middle: usize) -> (Self, Self);
    /// What lies before, in and after the aligned pairs of 16-bit elements.
    fn pairs(self) -> (Self, Self::As<u32>, Self);
    fn map(self, f: impl Fn(T) -> T);
    /// Maps each element with the parameters of its own position.
    fn map_with<P: Copy>(self, parameters: [&[P]; 3], f: impl Fn(T, [P; 3]) -> T);
    /// What to read.
    fn source(&self) -> &[T];
    /// Where to write.
    fn target<'a>(self) -> &'a mut [T]
    where
        Self: 'a;
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

impl<'a, T: Pod> Lanes<T> for Across<'a, T> {
    type As<U: Pod> = Across<'a, U>;

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
    fn pairs(self) -> (Self, Across<'a, u32>, Self) {
        let head = unaligned(self.from);
        // Where the two slices lie differently, there are no common pairs.
        let whole = self.len();
        let common = head == unaligned(self.to);
        let (first, rest) = self.split_at(if common { head } else { whole });
        let (_, from, from_tail) = bytemuck::pod_align_to(rest.from);
        let (_, to, to_tail) = bytemuck::pod_align_to_mut(rest.to);
        let tail = Self {
            from: from_tail,
            to: to_tail,
        };
        (first, Across { from, to }, tail)
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
    fn target<'b>(self) -> &'b mut [T]
    where
        Self: 'b,
    {
        self.to
    }
}

impl<'a, T: Pod> Lanes<T> for Within<'a, T> {
    type As<U: Pod> = Within<'a, U>;

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
    fn pairs(self) -> (Self, Within<'a, u32>, Self) {
        let (head, pairs, tail) = bytemuck::pod_align_to_mut(self.0);
        (Self(head), Within(pairs), Self(tail))
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
    fn target<'b>(self) -> &'b mut [T]
    where
        Self: 'b,
    {
        self.0
    }
}

/// The number of elements before the first that is aligned as a u32.
#[inline(always)]
fn unaligned<T: Pod>(values: &[T]) -> usize {
    bytemuck::pod_align_to::<T, u32>(values).0.len()
}
