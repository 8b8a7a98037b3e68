#!/usr/bin/env ruby
# frozen_string_literal: true

# Stands in for fluentd if none is installed. It runs a configuration with the plugins that charts/logging uses, with Ruby's own
# patterns, JSON and times, which are fluentd's. It refuses unknown settings, so none is silently ignored.
# Usage: dev/logging/fluentd.rb --config FILE | --version
require "digest"
require "fileutils"
require "json"
require "net/http"
require "time"
require_relative "configuration"
require_relative "plugins"

STEP = 0.2

# A label: filters in their order, then one output.
class Label
  def initialize(name, elements, engine)
    @filters = elements.select { |element| element.name == "filter" }.map { |element| Filters.make(element, engine, name) }
    @output = elements.reject { |element| element.name == "filter" }.map { |element| Outputs.make(element, engine) }.fetch(0)
  end

  def emit(tag, records)
    records = @filters.reduce(records) { |kept, filter| kept.flat_map { |time, record| filter.call(tag, time, record) } }
    @output.call(tag, records) unless records.empty?
  end

  def parts = [*@filters, @output]
end

# Reads, runs the labels and sends, until a signal ends it.
class Engine
  def initialize(elements)
    @labels = {}
    @source = Tail.new(elements.find { |element| element.name == "source" }, self)
    elements.select { |element| element.name == "label" }.each { |label| @labels[label.argument] = Label.new(label.argument, label.children, self) }
  end

  def emit(label, tag, records) = @labels.fetch(label).emit(tag, records)

  def run
    running = true
    %w[TERM INT].each { |signal| trap(signal) { running = false } }
    while running
      step
      sleep STEP
    end
    # Parts of lines mustn't be lost, since their file counts as read.
    @labels.each_value { |label| label.parts.each { |part| part.finish if part.respond_to?(:finish) } }
  end

  def step
    @source.step
    @labels.each_value { |label| label.parts.each { |part| part.step if part.respond_to?(:step) } }
  end
end

if ARGV == ["--version"]
  puts "a stand-in, not fluentd"
elsif ARGV[0] == "--config" && ARGV.size == 2
  $stdout.sync = true
  Engine.new(Configuration.read(ARGV[1])).run
else
  abort "usage: dev/logging/fluentd.rb --config FILE | --version"
end
