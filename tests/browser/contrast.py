"""Whether texts can be read, measured in the browser."""

# The contrast of each visible text with what lies behind it, composited from the page's own computed styles.
CONTRAST = """selector => {
  const parse = c => { const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const line = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const lum = c => { const [r, g, b] = c.map(v => line(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { const layers = []; for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor); layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((under, c) => under.map((u, i) => u * (1 - c[3]) + c[i] * c[3]), [255, 255, 255]); };
  return [...document.querySelectorAll(selector)].filter(e => e.offsetParent && e.innerText.trim()).map(e => {
    const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(behind(e));
    return [e.className || e.tagName, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; });
}"""

# Whether no colour is on its way to another.
SETTLED = "() => document.getAnimations().every(a => !(a instanceof CSSTransition))"
