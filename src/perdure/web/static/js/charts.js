// Charts over time. What they show stands in the page, and beside them as a table.
"use strict";

for (const place of document.querySelectorAll("[data-chart]")) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const unit = place.dataset.unit ?? "";
  const axis = { stroke: colour("ink-3"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: `11px ${style.getPropertyValue("--font")}` };
  const options = {
    width: place.clientWidth, height: place.clientHeight - 30, cursor: { y: false },
    series: [{}, { label: unit === "$" ? "Cost" : place.dataset.label, stroke: colour("blue-solid"), fill: colour("blue-soft"), width: 1.5, paths: uPlot.paths.bars({ size: [0.7, 40] }), value: (_, v) => (v === null ? "" : `${unit}${v.toLocaleString(undefined, { maximumFractionDigits: 4 })}`) }],
    axes: [axis, { ...axis, size: 60, values: (_, all) => all.map((v) => `${unit}${v}`) }],
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
  };
  const chart = new uPlot(options, JSON.parse(place.dataset.chart), place);
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: place.clientHeight - 30 })).observe(place);
}
