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

// x (n, k) times the transpose of A (m, k): (n, m). Both are read along their rows, two of x and four of A at a time:
// of six numbers read come eight products, and no sum waits for another. The last rows may be computed twice.
function timesTransposed(x, A, k) {
  const n = x.length / k, m = A.length / k, y = new Float64Array(n * m);
  if (m < 4) return timesFew(x, A, k);
  for (let row = 0; row < n; row += 2) {
    const next = Math.min(row + 1, n - 1), x0 = row * k, x1 = next * k;
    for (let block = 0; block < m; block += 4) {
      const j = Math.min(block, m - 4), A0 = j * k, A1 = A0 + k, A2 = A1 + k, A3 = A2 + k;
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let i = 0; i < k; i++) {
        const u = x[x0 + i], v = x[x1 + i], p = A[A0 + i], q = A[A1 + i], r = A[A2 + i], s = A[A3 + i];
        a += u * p; b += u * q; c += u * r; d += u * s;
        e += v * p; f += v * q; g += v * r; h += v * s;
      }
      let to = row * m + j;
      y[to] = a; y[to + 1] = b; y[to + 2] = c; y[to + 3] = d;
      to = next * m + j;
      y[to] = e; y[to + 1] = f; y[to + 2] = g; y[to + 3] = h;
    }
  }
  return y;
}

// The same for any number of rows of A, one by one.
function timesFew(x, A, k) {
  const n = x.length / k, m = A.length / k, y = new Float64Array(n * m);
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < m; j++) for (let i = 0; i < k; i++) y[row * m + j] += x[row * k + i] * A[j * k + i];
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
