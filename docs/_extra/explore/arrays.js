// Arrays of an exported flow, and the products that all layers are made of.
//
// A matrix (rows, columns) is a flat Float64Array, row after row. JavaScript has no matrix product, so here is one.
"use strict";

// The numbers of an exported file: two bytes each, in base64; see nice_np/interop/web.py.
class Numbers {
  constructor(base64) {
    this.bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  word(place) {
    return this.bytes[2 * place] | (this.bytes[2 * place + 1] << 8);
  }

  // {int16, shape} or {float16, shape, scale} -> Float64Array or Int32Array
  read({ int16, float16, shape, scale }) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (int16 !== undefined) return Int32Array.from({ length: size }, (_, k) => (this.word(int16 + k) << 16) >> 16);
    return Float64Array.from({ length: size }, (_, k) => scale * half(this.word(float16 + k)));
  }

  // An exported object, its arrays in the place of their descriptions.
  build(value) {
    if (Array.isArray(value)) return value.map((item) => this.build(item));
    if (value === null || typeof value !== "object") return value;
    if (value.shape) return this.read(value);
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.build(item)]));
  }
}

// The float16 with these bits: one for the sign, five for the exponent, ten for the fraction.
function half(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

// x (n, k) times the transpose of A (m, k): (n, m). Both are read along their rows, four rows of A at a time: so each
// number of x is read once for four products, and the four sums do not wait for each other.
function timesTransposed(x, A, k) {
  const n = x.length / k, m = A.length / k, y = new Float64Array(n * m);
  for (let row = 0; row < n; row++) {
    const start = row * k, to = row * m;
    let j = 0;
    for (; j + 3 < m; j += 4) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = 0, from = j * k; i < k; i++, from++) {
        const value = x[start + i];
        a += value * A[from];
        b += value * A[from + k];
        c += value * A[from + 2 * k];
        d += value * A[from + 3 * k];
      }
      y[to + j] = a;
      y[to + j + 1] = b;
      y[to + j + 2] = c;
      y[to + j + 3] = d;
    }
    for (; j < m; j++) {
      let a = 0;
      for (let i = 0; i < k; i++) a += x[start + i] * A[j * k + i];
      y[to + j] = a;
    }
  }
  return y;
}

// A (rows, columns) -> (columns, rows)
function transposed(A, columns) {
  const rows = A.length / columns, B = new Float64Array(A.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) B[j * rows + i] = A[i * columns + j];
  return B;
}

// y_j = x_order[j], and back. (A loop takes a tenth of the time of Float64Array.from.)
function take(x, order) {
  const y = new Float64Array(order.length);
  for (let j = 0; j < y.length; j++) y[j] = x[order[j]];
  return y;
}
function put(y, order, x = new Float64Array(y.length)) {
  for (let j = 0; j < y.length; j++) x[order[j]] = y[j];
  return x;
}

// The features a and b of a partition, and back.
const split = ({ idx_a, idx_b }, x) => [take(x, idx_a), take(x, idx_b)];
const merge = ({ idx_a, idx_b }, x_a, x_b) => put(x_a, idx_a, put(x_b, idx_b, new Float64Array(x_a.length + x_b.length)));

const sum = (x) => x.reduce((a, b) => a + b, 0);
